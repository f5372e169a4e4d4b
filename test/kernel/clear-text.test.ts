/**
 * Nothing of the application ever goes in clear: it writes before the keys are there, everything that
 * passes is recorded, and system calls fail where it hurts most.
 */
import { once } from 'node:events';
import type * as tls from 'node:tls';
import { beforeAll, expect, it, vi } from 'vitest';
import { expectNothingInClear, newMarker } from '../support/clear.js';
import {
  type AnySocket,
  type Side,
  connectTo,
  listen,
  readAll,
  readExactly,
} from '../support/connection.js';
import { type Errno, type FaultyCall, fault, withFaults } from '../support/faults.js';
import { describeKernel } from '../support/kernel.js';
import { type Running, clean, scriptTimeout, startScript } from '../support/script.js';
import { type Role, type Version, roles, versions } from '../support/scripted.js';
import { handshakeRecords } from '../support/steps.js';
import { type Wire, recordTypes, tap } from '../support/wire.js';

vi.setConfig(scriptTimeout);

const pairings: [server: Side, client: Side][] = [
  ['ktls', 'node'],
  ['node', 'ktls'],
  ['ktls', 'ktls'],
];

describeKernel('what is written before the keys are there goes encrypted', () => {
  for (const version of versions) {
    for (const [server, client] of pairings) {
      it(`${version}, ${server} server, ${client} client`, async () => {
        const limits = { minVersion: version, maxVersion: version };
        const marker = newMarker();
        const { listener, port } = await listen(server, limits);
        listener.on('secureConnection', (socket: tls.TLSSocket) => socket.write(marker));
        const accepted = once(listener, 'secureConnection') as Promise<[AnySocket]>;
        const wire = await tap(port);
        const socket = connectTo(wire.port, client, limits);
        socket.write(marker);
        socket.write(marker);
        const atClient = await readExactly(socket, marker.length);
        const [accepting] = await accepted;
        const atServer = await readExactly(accepting, 2 * marker.length);
        socket.end();
        accepting.end();
        await Promise.all([readAll(socket), readAll(accepting)]);
        await wire.close();
        listener.close();
        await once(listener, 'close');

        expect(atClient.toString()).toBe(marker);
        expect(atServer.toString()).toBe(marker + marker);
        expectNothingInClear(wire, marker);
      });
    }
  }
});

/** Our side of connections, in a process in which one system call of each fails. */
const faulty = `
  const { role, version } = given;
  const limits = { minVersion: version, maxVersion: version };
  // Whatever the kernel is asked once a process has been asked after this.
  const first = await pair(limits);
  first.client.destroy();
  first.server.destroy();
  first.listener.close();
  await once(first.listener, 'close');
  const inUse = () => keys() + sockets();
  let number = 0;
  async function suffer({ port, mode, fault, marker }) {
    const before = inUse();
    const events = [];
    let received = '', offload;
    const watch = (socket) => {
      socket.on('error', (error) => events.push('error ' + error.code));
      socket.on('data', (data) => {
        received += data;
        if (received.includes(marker)) socket.end();
      });
    };
    // The number makes it another fault than the last one, which has been.
    process.env.KTLS_FAULT = fault + ' #' + number++;
    if (role === 'client') {
      const socket = connect(port, { ...limits, mode });
      watch(socket);
      socket.write(marker);
      socket.on('secureConnect', () => { events.push('secured'); offload = socket.offload; });
      await new Promise((resolve) => socket.on('close', resolve));
    } else {
      const listener = server({ ...limits, mode });
      listener.on('tlsClientError', (error) => events.push('tlsClientError ' + error.code));
      listener.on('secureConnection', (socket) => {
        events.push('secured');
        offload = socket.offload;
        watch(socket);
        socket.write(marker);
      });
      say('port', await listening(listener));
      await once(listener, 'connection');
      listener.close();
      await once(listener, 'close');
    }
    // A leak is a process that is killed in the end.
    while (inUse() > before) await delay(20);
    return { events, received, offload };
  }
  for await (const line of readline.createInterface(process.stdin)) {
    say('report', JSON.stringify(await suffer(JSON.parse(line))));
  }
`;

interface Report {
  events: string[];
  received: string;
  offload?: { offloaded: boolean; reason: string | null };
}

interface Faulted extends Report {
  wire: Wire;
  /** What the peer, which is node:tls, got. */
  peerReceived: string;
}

interface Fault {
  mode: 'prefer' | 'require';
  call: FaultyCall;
  errno: Errno;
}

/** The process on our side. */
interface Victim {
  role: Role;
  version: Version;
  script: Running;
}

async function withFault(
  { role, version, script }: Victim,
  { mode, call, errno }: Fault,
  marker: string,
): Promise<Faulted> {
  const limits = { minVersion: version, maxVersion: version };
  let peerReceived = '';
  const watch = (socket: AnySocket): void => {
    socket.on('error', () => undefined);
    socket.on('data', (data: Buffer) => (peerReceived += data.toString()));
  };
  const told = { mode, fault: fault(call, errno), marker };

  const { listener, port } = await listen('node', limits);
  let wire: Wire;
  if (role === 'client') {
    listener.on('secureConnection', (socket: tls.TLSSocket) => {
      watch(socket);
      socket.write(marker);
    });
    wire = await tap(port);
    script.tell(JSON.stringify({ ...told, port: wire.port }));
  } else {
    script.tell(JSON.stringify(told));
    wire = await tap(Number(await script.said('port')));
    const socket = connectTo(wire.port, 'node', limits);
    watch(socket);
    socket.write(marker);
  }
  const report = JSON.parse(await script.said('report')) as Report;
  await wire.close();
  listener.close();
  await once(listener, 'close');
  return { ...report, wire, peerReceived };
}

/** An alert is shorter than this, whatever the cipher. */
const ALERT_RECORD = 5 + 8 + 2 + 1 + 16;

/** Throws unless our side sent the records of the handshake and then, if anything, one alert. */
async function expectOnlyHandshake(role: Role, version: Version, wire: Wire): Promise<void> {
  const sent = role === 'server' ? wire.toClient : wire.toServer;
  const peer = role === 'server' ? 'client' : 'server';
  const most = (await handshakeRecords(version))[peer];
  const types = recordTypes(sent);
  if (types.length === most + 1) {
    const bytes = Buffer.concat(sent);
    expect(bytes.length - lastRecordAt(bytes)).toBeLessThanOrEqual(ALERT_RECORD);
  } else {
    expect(types.length).toBeLessThanOrEqual(most);
  }
}

function lastRecordAt(bytes: Buffer): number {
  let at = 0;
  for (;;) {
    const next = at + 5 + bytes.readUInt16BE(at + 3);
    if (next >= bytes.length) return at;
    at = next;
  }
}

/** Fails before anything of the application has moved, in either direction. */
async function expectDeath(victim: Victim, fault: Fault, code: string): Promise<void> {
  const { role, version } = victim;
  const marker = newMarker();
  const { events, received, peerReceived, wire } = await withFault(victim, fault, marker);
  expect(events).toEqual([`${role === 'server' ? 'tlsClientError' : 'error'} ${code}`]);
  expect(received + peerReceived).toBe('');
  expectNothingInClear(wire, marker);
  await expectOnlyHandshake(role, version, wire);
}

async function expectUserSpace(victim: Victim, fault: Fault, reason: string): Promise<void> {
  const marker = newMarker();
  const report = await withFault(victim, fault, marker);
  expect(report).toMatchObject({
    events: ['secured'],
    received: marker,
    peerReceived: marker,
    offload: { offloaded: false, reason },
  });
  expectNothingInClear(report.wire, marker);
}

interface Refusal {
  readonly call: FaultyCall;
  readonly errno: Errno;
  readonly option: string;
  readonly reason: string;
}

/** What the kernel may refuse, and how the refusal is called. */
const refusals: readonly Refusal[] = [
  { call: 'tx', errno: 'EBUSY', option: 'TLS_TX', reason: 'ERR_KTLS_CIPHER' },
  { call: 'tx', errno: 'ENOMEM', option: 'TLS_TX', reason: 'ERR_KTLS_RESOURCES' },
  { call: 'ulp', errno: 'EPERM', option: 'TCP_ULP', reason: 'ERR_KTLS_SANDBOX' },
  // As where the module was unloaded, or never there.
  { call: 'ulp', errno: 'ENOENT', option: 'TCP_ULP', reason: 'ERR_KTLS_MODULE' },
  { call: 'ulp', errno: 'ENOPROTOOPT', option: 'TCP_ULP', reason: 'ERR_KTLS_KERNEL' },
  { call: 'ulp', errno: 'ENOTCONN', option: 'TCP_ULP', reason: 'ERR_KTLS_ULP' },
];

/** A client's handshake cannot do without: its connection fails. */
const refusalsOfServers: readonly Refusal[] = [
  { call: 'watch', errno: 'ENOSPC', option: 'epoll_ctl', reason: 'ERR_KTLS_RESOURCES' },
];

for (const version of versions) {
  for (const role of roles) {
    describeKernel(`a ${role} of ${version}`, () => {
      let victim: Victim;
      beforeAll(() => {
        const given = { role, version };
        victim = { role, version, script: startScript(faulty, { env: withFaults(), given }) };
      });

      it('dies without a word if the kernel takes the sending key but not the other', async () => {
        const fault = { mode: 'prefer', call: 'rx', errno: 'EBUSY' } as const;
        await expectDeath(victim, fault, 'ERR_KTLS_INSTALL');
      });

      for (const { call, errno, option, reason } of [
        ...refusals,
        ...(role === 'server' ? refusalsOfServers : []),
      ]) {
        it(`carries on in user space if ${option} fails with ${errno} after a good probe`, async () => {
          await expectUserSpace(victim, { mode: 'prefer', call, errno }, reason);
        });

        it(`that must be offloaded dies if ${option} fails with ${errno} after a good probe`, async () => {
          await expectDeath(victim, { mode: 'require', call, errno }, reason);
        });
      }

      for (const call of ['send', 'recv'] as const) {
        it(`dies of a ${call} that fails in the handshake`, async () => {
          await expectDeath(victim, { mode: 'prefer', call, errno: 'ENOBUFS' }, 'ENOBUFS');
        });

        it(`does not mind a ${call} that is interrupted`, async () => {
          const marker = newMarker();
          const fault = { mode: 'prefer', call, errno: 'EINTR' } as const;
          const report = await withFault(victim, fault, marker);
          expect(report).toMatchObject({ received: marker, peerReceived: marker });
          expectNothingInClear(report.wire, marker);
        });
      }

      it('is left with nothing, and nothing to say', async () => {
        expect(await victim.script.finish()).toMatchObject(clean);
      });
    });
  }
}
