/**
 * A handshake that is cut short after any of its records, by either side and in every way, ends as
 * node:tls's would, gives nothing away and leaves nothing behind.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import * as tls from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import { stats } from '../../lib/index.js';
import { expectNothingInClear, newMarker } from '../support/clear.js';
import { type AnySocket, type Side, connectTo, listen } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';
import { type Role, type Version, roles, versions } from '../support/scripted.js';
import { type Towards, handshakeRecords, tapUntil } from '../support/steps.js';

/** Our socket, and the proxy's end that faces it. */
type Cut = (subject: Socket, facing: Socket) => void;

const cuts: Record<string, Cut> = {
  'is destroyed': (subject) => subject.destroy(),
  // node:tls's own sockets cannot be reset.
  'is reset': (subject) =>
    subject instanceof tls.TLSSocket ? subject.destroy() : subject.resetAndDestroy(),
  'sees a reset': (_subject, facing) => facing.resetAndDestroy(),
  'sees a FIN': (_subject, facing) => facing.end(),
};

interface Outcome {
  secured: boolean;
  /** Of 'error' on a client, of 'tlsClientError' on a server. */
  errors: string[];
}

interface Step {
  role: Role;
  version: Version;
  side: Side;
  cut: Cut;
  towards: Towards;
  records: number;
}

/** One connection whose `role` is played by `side`, and the other by node:tls. */
async function interrupted({ role, version, side, cut, towards, records }: Step): Promise<Outcome> {
  const limits = { minVersion: version, maxVersion: version };
  const marker = newMarker();
  const outcome: Outcome = { secured: false, errors: [] };
  const note = ({ code }: NodeJS.ErrnoException): void => void outcome.errors.push(code ?? 'none');
  const sides = { [role]: side } as Partial<Record<Role, Side>>;

  const { listener, port } = await listen(sides.server ?? 'node', limits);
  const raw = once(listener, 'connection') as Promise<[Socket]>;
  listener.on('secureConnection', (socket: tls.TLSSocket) => {
    if (role === 'server') outcome.secured = true;
    socket.on('error', () => undefined);
    socket.write(marker);
    socket.resume();
  });
  listener.on('tlsClientError', (error) => {
    if (role === 'server') note(error);
  });

  let client: AnySocket;
  const closed = new Promise<void>((resolve) => {
    const stopped = async (near: Socket, far: Socket): Promise<void> => {
      const subject = role === 'client' ? client : (await raw)[0];
      if (subject.closed) resolve();
      subject.once('close', () => resolve());
      cut(subject, role === 'client' ? near : far);
    };
    void tapUntil(port, towards, records, (near, far) => void stopped(near, far)).then((tapped) => {
      wire = tapped;
      client = connectTo(wire.port, sides.client ?? 'node', limits);
      client.on('error', (error: NodeJS.ErrnoException) => {
        if (role === 'client' && !outcome.secured) note(error);
      });
      client.on('secureConnect', () => {
        if (role === 'client') outcome.secured = true;
      });
      client.write(marker);
      client.resume();
    });
  });
  let wire: Awaited<ReturnType<typeof tapUntil>>;
  await closed;

  client!.destroy();
  await wire!.close();
  listener.close();
  await once(listener, 'close');
  expectNothingInClear(wire!, marker, true);
  return outcome;
}

/** Connections under kernel TLS that the kernel knows of. */
const current = (): number =>
  Object.entries(stats()!)
    .filter(([name]) => name.startsWith('TlsCurr'))
    .reduce((sum, [, count]) => sum + count, 0);

describeKernel('a handshake that is interrupted', () => {
  const records = {} as Record<Version, Record<Towards, number>>;
  beforeAll(async () => {
    for (const version of versions) records[version] = await handshakeRecords(version);
  });

  for (const version of versions) {
    for (const role of roles) {
      for (const [name, cut] of Object.entries(cuts)) {
        for (const towards of ['server', 'client'] as const) {
          it(`${version}: a ${role} that ${name} after any record to the ${towards}`, async () => {
            const sockets = openSockets();
            const installed = current();
            const sent = records[version][towards];
            for (let count = towards === 'server' ? 0 : 1; count <= sent; count++) {
              const step = { role, version, cut, towards, records: count };
              const ours = await interrupted({ ...step, side: 'ktls' });
              const nodes = await interrupted({ ...step, side: 'node' });
              const seen = { after: count, ours, nodes };
              // Near the end it is a matter of moments whether a side is secured.
              if (ours.secured === nodes.secured) expect(seen.ours).toEqual(nodes);
              else expect(count).toBeGreaterThan(1);
            }
            await onlyOpen(sockets);
            while (current() > installed) await delay(20);
          });
        }
      }
    }
  }
});
