/**
 * Records that carry no data, and records that are wrong, sent by hand to a socket under kernel TLS: what
 * the application sees, and what the peer gets back.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { alertError, alertName } from '../../lib/tls/alerts.js';
import { HandshakeType } from '../../lib/tls/constants.js';
import { kernelRekeys } from '../../lib/kernel/probe.js';
import { describeKernel } from '../support/kernel.js';
import {
  type PlainRecord,
  alert,
  closeNotify,
  data,
  handshake,
  keyUpdate,
  message,
  newSessionTicket,
} from '../support/record-peer.js';
import {
  type Role,
  type Scripted,
  type ScriptedOptions,
  type Version,
  roles,
  scripted,
  versions,
} from '../support/scripted.js';
import { Witness } from '../support/witness.js';

const warning = 1;
const fatal = 2;
const unexpectedMessage = 10;
const badRecordMac = 20;
const recordOverflow = 22;
const decodeError = 50;
const protocolVersion = 70;
const internalError = 80;
const userCanceled = 90;
const noRenegotiation = 100;

interface Case extends Scripted {
  role: Role;
  version: Version;
  witness: Witness;
}

interface Only {
  roles?: readonly Role[];
  versions?: readonly Version[];
}

let turn = 0;

/**
 * One test for each version, by turns with the one role of our socket and the other: the kernel reads
 * the same in both. The socket flows from the start.
 */
function forEach(
  name: string,
  body: (scene: Case) => Promise<void>,
  only: Only = {},
  options: ScriptedOptions = {},
): void {
  turn++;
  for (const [index, version] of (only.versions ?? versions).entries()) {
    for (const role of only.roles ?? [roles[(turn + index) % 2]!]) {
      it(`${name} (${version}, ${role})`, async () => {
        await using scene = await scripted(role, version, options);
        await body({ ...scene, role, version, witness: new Witness(scene.socket) });
      });
    }
  }
}

/** That data still flows, both ways. */
async function expectAlive({ peer, socket, witness }: Case): Promise<void> {
  const length = witness.data.length + 5;
  peer.send(data('alive'));
  expect((await witness.received(length)).slice(-5)).toBe('alive');
  const before = peer.receivedLength;
  socket.write('alive');
  await peer.until(() => peer.receivedLength >= before + 5);
  expect(peer.receivedData.subarray(before).toString()).toBe('alive');
}

/** That the data sent before it was delivered, then this error, and that the peer got this alert. */
async function expectFailure(
  { peer, witness }: Case,
  code: string,
  alertSent: number | null,
): Promise<void> {
  expect(await witness.until('close')).toEqual(['before', 'error', 'close']);
  expect(witness.error).toMatchObject({ code });
  await peer.untilEnded();
  expect(peer.receivedAlerts).toEqual(alertSent === null ? [] : [[fatal, alertSent]]);
}

/** Sends data and a record that must end the connection, in one segment. */
function itFails(
  name: string,
  record: PlainRecord | PlainRecord[],
  code: string,
  alertSent: number,
  only: Only = {},
): void {
  forEach(
    name,
    async (scene) => {
      scene.peer.send(data('before'), ...[record].flat(), data('after'));
      await expectFailure(scene, code, alertSent);
    },
    only,
  );
}

const tls12: Only = { versions: ['TLSv1.2'] };
const tls13: Only = { versions: ['TLSv1.3'] };
const UNEXPECTED = 'ERR_KTLS_UNEXPECTED_RECORD';

describeKernel('an alert', () => {
  const descriptions = [
    ...[10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86],
    ...[100, 109, 110, 111, 112, 113, 114, 115, 116, 120, 121, 255],
  ];
  for (const [index, description] of descriptions.entries()) {
    const role = roles[index % 2]!;
    const version = versions[(index >> 1) % 2]!;
    it(`${alertName(description)} surfaces as the error of node:tls (${version}, ${role})`, async () => {
      await using scene = await scripted(role, version);
      const witness = new Witness(scene.socket);
      scene.peer.send(data('before'), alert(fatal, description));
      expect(await witness.until('close')).toEqual(['before', 'error', 'close']);
      const { code, reason, message } = alertError(fatal, description);
      expect(witness.error).toMatchObject({ code, reason, message });
      await scene.peer.untilEnded();
      expect(scene.peer.receivedAlerts).toEqual([]);
    });
  }

  const warnings = [userCanceled, 112, 255];
  forEach(
    'that warns is ignored in TLS 1.2',
    async (scene) => {
      for (const description of warnings) scene.peer.send(alert(warning, description), data('.'));
      expect(await scene.witness.received(warnings.length)).toBe('...');
      await expectAlive(scene);
    },
    tls12,
  );

  forEach(
    'user_canceled is ignored in TLS 1.3, whatever its level',
    async (scene) => {
      scene.peer.send(alert(warning, userCanceled), data('.'), alert(fatal, userCanceled));
      expect(await scene.witness.received(1)).toBe('.');
      await expectAlive(scene);
    },
    tls13,
  );

  // The level of an alert is the sender's; node:tls is asked what it makes of it.
  const odd = [
    [warning, 40],
    [0, 40],
    [3, 40],
    [warning, noRenegotiation],
  ] as const;
  for (const version of versions) {
    for (const [index, [level, description]] of odd.entries()) {
      const name = alertName(description);
      it(`${name} of level ${level} does what it does to node:tls (${version})`, async () => {
        const outcomes = [];
        for (const side of ['node', 'ktls'] as const) {
          await using scene = await scripted(roles[index % 2]!, version, { side });
          const witness = new Witness(scene.socket);
          scene.peer.send(data('before'), alert(level, description), data('after'), closeNotify);
          const events = [...(await witness.until('error', 'end'))];
          outcomes.push({ events, code: witness.error?.code, reason: witness.error?.reason });
        }
        expect(outcomes[1]).toEqual(outcomes[0]);
      });
    }
  }

  itFails('of one byte is malformed', { type: 21, payload: Buffer.of(2) }, UNEXPECTED, decodeError);
  itFails(
    'of three bytes is malformed',
    { type: 21, payload: Buffer.of(1, 90, 0) },
    UNEXPECTED,
    decodeError,
  );
  itFails(
    'that is empty is malformed',
    { type: 21, payload: Buffer.alloc(0) },
    UNEXPECTED,
    decodeError,
  );
});

describeKernel('close_notify', () => {
  for (const [how, withFin] of [
    ['and FIN', true],
    ['without FIN', false],
  ] as const) {
    forEach(
      `${how} is a clean end`,
      async ({ peer, socket, witness }) => {
        peer.send(data('last'), closeNotify);
        if (withFin) peer.fin();
        expect(await witness.until('end')).toEqual(['last', 'end']);
        expect('closeNotifyReceived' in socket && socket.closeNotifyReceived).toBe(true);
      },
      { roles },
    );
  }

  forEach('is a clean end whatever its level', async ({ peer, socket, witness }) => {
    peer.send(data('last'), alert(fatal, 0));
    expect(await witness.until('close')).toEqual(['last', 'end', 'close']);
    expect('closeNotifyReceived' in socket && socket.closeNotifyReceived).toBe(true);
  });

  forEach('is answered with our own, then FIN', async ({ peer, witness }) => {
    peer.send(closeNotify);
    expect(await peer.untilEnded()).toBe('fin');
    expect(peer.receivedAlerts).toEqual([[warning, 0]]);
    peer.fin();
    expect(await witness.until('close')).toEqual(['end', 'close']);
  });

  forEach('ends the data: what follows is ignored', async ({ peer, socket, witness }) => {
    peer.send(data('last'), closeNotify, data('more'), alert(fatal, 40));
    expect(await witness.until('close')).toEqual(['last', 'end', 'close']);
    expect(socket.bytesRead).toBe(4);
  });

  forEach('missing before FIN shows in closeNotifyReceived', async ({ peer, socket, witness }) => {
    peer.send(data('last'));
    peer.fin();
    expect(await witness.until('end')).toEqual(['last', 'end']);
    expect('closeNotifyReceived' in socket && socket.closeNotifyReceived).toBe(false);
  });

  forEach(
    'leaves the other direction open with allowHalfOpen',
    async ({ peer, socket, witness }) => {
      peer.send(closeNotify);
      await witness.until('end');
      socket.write('still here');
      await peer.until(() => peer.receivedLength >= 10);
      socket.end(' and gone');
      expect(await peer.untilEnded()).toBe('fin');
      expect(peer.receivedData.toString()).toBe('still here and gone');
      expect(peer.receivedAlerts).toEqual([[warning, 0]]);
    },
    {},
    { allowHalfOpen: true },
  );
});

describeKernel('a handshake message after the handshake', () => {
  const ticket = newSessionTicket();

  forEach(
    'NewSessionTicket is consumed by a client and the data around it is intact',
    async (scene) => {
      scene.peer.send(
        data('ab'),
        handshake(ticket),
        data('cd'),
        handshake(ticket, ticket),
        data('ef'),
      );
      expect(await scene.witness.received(6)).toBe('abcdef');
      await expectAlive(scene);
    },
    { roles: ['client'], ...tls13 },
  );

  forEach(
    'may be split over records',
    async (scene) => {
      const long = newSessionTicket(20_000);
      const pieces = [0, 1, 3, 5, 16_000].map((start, index, starts) =>
        handshake(long.subarray(start, starts[index + 1])),
      );
      scene.peer.send(data('ab'), ...pieces, data('cd'));
      expect(await scene.witness.received(4)).toBe('abcd');
      await expectAlive(scene);
    },
    { roles: ['client'], ...tls13 },
  );

  itFails(
    'must not have data in its middle',
    [handshake(ticket.subarray(0, 10)), data('amid'), handshake(ticket.subarray(10))],
    UNEXPECTED,
    unexpectedMessage,
    { roles: ['client'], ...tls13 },
  );

  // The kernel gives many records of data at once, and nobody has room for those.
  itFails(
    'must not have much data in its middle',
    [handshake(ticket.subarray(0, 1)), ...Array<PlainRecord>(8).fill(data('a'.repeat(16_384)))],
    UNEXPECTED,
    unexpectedMessage,
  );

  // Its body is for OpenSSL to judge: a ticket of fewer bytes than it says.
  itFails(
    'NewSessionTicket must be well formed',
    handshake(Buffer.from(ticket.with(15, 33))),
    'ERR_SSL_LENGTH_MISMATCH',
    decodeError,
    { roles: ['client'], ...tls13 },
  );

  itFails(
    'NewSessionTicket is nothing for a server',
    handshake(ticket),
    UNEXPECTED,
    unexpectedMessage,
    {
      roles: ['server'],
      ...tls13,
    },
  );
  itFails(
    'NewSessionTicket is nothing for TLS 1.2',
    handshake(ticket),
    UNEXPECTED,
    unexpectedMessage,
    tls12,
  );

  // On others: key-update.test.ts.
  const unlessFollowed = kernelRekeys(51) ? () => undefined : forEach;
  unlessFollowed(
    'KeyUpdate ends the connection behind the data before it',
    async (scene) => {
      const { peer } = scene;
      const records = [peer.seal(data('before')), peer.seal(handshake(keyUpdate()))];
      peer.updateSendKeys();
      peer.sendRaw(Buffer.concat([...records, peer.seal(data('after'))]));
      await expectFailure(scene, 'ERR_KTLS_KEY_UPDATE', internalError);
    },
    { roles, ...tls13 },
  );

  itFails(
    'KeyUpdate must have a known request',
    handshake(message(HandshakeType.keyUpdate, Buffer.of(2))),
    UNEXPECTED,
    47,
    tls13,
  );
  itFails(
    'KeyUpdate is nothing for TLS 1.2',
    handshake(keyUpdate()),
    UNEXPECTED,
    unexpectedMessage,
    tls12,
  );

  forEach(
    'that asks for a renegotiation is declined and data goes on',
    async (scene) => {
      const { peer, role } = scene;
      const asks =
        role === 'client'
          ? message(HandshakeType.helloRequest)
          : message(HandshakeType.clientHello, 200);
      peer.send(data('ab'), handshake(asks), data('cd'));
      expect(await scene.witness.received(4)).toBe('abcd');
      await peer.until(() => peer.receivedAlerts.length > 0);
      expect(peer.receivedAlerts).toEqual([[warning, noRenegotiation]]);
      await expectAlive(scene);
    },
    { roles, ...tls12 },
  );

  itFails(
    'HelloRequest is nothing for a server',
    handshake(message(HandshakeType.helloRequest)),
    UNEXPECTED,
    unexpectedMessage,
    { roles: ['server'], ...tls12 },
  );
  itFails(
    'ClientHello is nothing for TLS 1.3',
    handshake(message(HandshakeType.clientHello, 200)),
    UNEXPECTED,
    unexpectedMessage,
    tls13,
  );
  itFails(
    'Finished is nothing after the handshake',
    handshake(message(HandshakeType.finished, 12)),
    UNEXPECTED,
    unexpectedMessage,
  );
});

describeKernel('a record', () => {
  forEach('of data that is empty does nothing', async (scene) => {
    scene.peer.send(data(''), data('ab'), data(''), data(''), data('cd'), data(''));
    expect(await scene.witness.received(4)).toBe('abcd');
    scene.peer.send(data(''));
    await expectAlive(scene);
  });

  forEach('of data that is empty is not the end ahead of one of another type', async (scene) => {
    const { peer, witness } = scene;
    const nothing = [data(''), alert(warning, userCanceled)];
    peer.send(...nothing, ...nothing, data('ab'), data(''), ...nothing, data('cd'));
    expect(await witness.received(4)).toBe('abcd');
    await expectAlive(scene);
    peer.send(data(''), closeNotify);
    await witness.until('end');
    expect(scene.socket).toMatchObject({ closeNotifyReceived: true });
  });

  forEach('of data that is empty may be the last', async ({ peer, witness, socket }) => {
    peer.send(data('ab'), data(''));
    peer.fin();
    expect(await witness.until('end')).toEqual(['ab', 'end']);
    expect(socket).toMatchObject({ closeNotifyReceived: false });
  });

  forEach('of data may be as long as TLS allows', async (scene) => {
    scene.peer.send(data(Buffer.alloc(16_384, 'x')), data('y'));
    expect(await scene.witness.received(16_385)).toBe(`${'x'.repeat(16_384)}y`);
    await expectAlive(scene);
  });

  forEach(
    'may be padded',
    async (scene) => {
      const { peer } = scene;
      peer.sendRaw(Buffer.concat([peer.seal(data('ab'), 300), peer.seal(data('cd'), 1)]));
      peer.sendRaw(Buffer.concat([peer.seal(data(''), 16_000), peer.seal(data('ef'))]));
      expect(await scene.witness.received(6)).toBe('abcdef');
      peer.sendRaw(peer.seal(closeNotify, 100));
      expect(await scene.witness.until('end')).toEqual(['abcdef', 'end']);
    },
    tls13,
  );

  itFails(
    'of handshake that is empty is refused',
    { type: 22, payload: Buffer.alloc(0) },
    UNEXPECTED,
    unexpectedMessage,
  );
  for (const [type, name] of [
    [20, 'ChangeCipherSpec'],
    [24, 'heartbeat'],
    [99, 'a type nobody knows'],
  ] as const) {
    itFails(
      `of ${name} is refused`,
      { type, payload: Buffer.of(1) },
      UNEXPECTED,
      unexpectedMessage,
    );
  }

  forEach('with a wrong tag ends the connection', async (scene) => {
    const { peer } = scene;
    const before = peer.seal(data('before'));
    const forged = peer.seal(data('forged'));
    forged[forged.length - 1]! ^= 1;
    peer.sendRaw(Buffer.concat([before, forged]));
    await expectFailure(scene, 'ERR_KTLS_BAD_RECORD', badRecordMac);
  });

  forEach('too short for its tag ends the connection', async (scene) => {
    const { peer } = scene;
    const short = Buffer.concat([Buffer.of(23, 3, 3, 0, 3), Buffer.alloc(40)]);
    peer.sendRaw(Buffer.concat([peer.seal(data('before')), short]));
    await expectFailure(scene, 'ERR_KTLS_BAD_RECORD', badRecordMac);
  });

  forEach('longer than TLS allows ends the connection', async (scene) => {
    const { peer } = scene;
    const long = Buffer.concat([Buffer.of(23, 3, 3, 0x50, 0), Buffer.alloc(1000)]);
    peer.sendRaw(Buffer.concat([peer.seal(data('before')), long]));
    await expectFailure(scene, 'ERR_KTLS_RECORD_OVERFLOW', recordOverflow);
  });

  forEach('of another version ends the connection', async (scene) => {
    const { peer } = scene;
    const odd = Buffer.concat([Buffer.of(23, 3, 1, 0, 40), Buffer.alloc(40)]);
    peer.sendRaw(Buffer.concat([peer.seal(data('before')), odd]));
    await expectFailure(scene, 'ERR_KTLS_RECORD_VERSION', protocolVersion);
  });

  for (const [part, bytes] of [
    ['header', 3],
    ['body', 20],
  ] as const) {
    forEach(`cut in its ${part} by FIN is an unclean end`, async ({ peer, socket, witness }) => {
      peer.send(data('whole'));
      peer.sendRaw(peer.seal(data('never whole')).subarray(0, bytes));
      peer.fin();
      expect(await witness.until('close')).toEqual(['whole', 'end', 'close']);
      expect('closeNotifyReceived' in socket && socket.closeNotifyReceived).toBe(false);
    });
  }

  forEach('that comes byte by byte is put together', async (scene) => {
    const { peer, witness } = scene;
    for (const record of [data('ab'), alert(warning, userCanceled), data('cd'), closeNotify]) {
      for (const byte of peer.seal(record)) {
        peer.sendRaw(Buffer.of(byte));
        await new Promise(setImmediate);
      }
    }
    expect(await witness.until('end')).toEqual(['abcd', 'end']);
  });

  forEach('that is only half there lets the event loop sleep', async (scene) => {
    const { peer, witness } = scene;
    const record = peer.seal(data('ab'));
    peer.sendRaw(record.subarray(0, 15));
    // A loop that spins is busy all the time; one that sleeps may be unlucky in one of the windows.
    const utilization = [];
    for (let window = 0; window < 5; window++) {
      const start = performance.eventLoopUtilization();
      await sleep(50);
      utilization.push(performance.eventLoopUtilization(start).utilization);
    }
    expect(Math.min(...utilization)).toBeLessThan(0.5);
    peer.sendRaw(record.subarray(15));
    expect(await witness.received(2)).toBe('ab');
  });

  forEach(
    'of control between data does not disturb its order',
    async (scene) => {
      const { peer, role, version, witness } = scene;
      const harmless =
        version === 'TLSv1.3' && role === 'client'
          ? [handshake(newSessionTicket()), alert(warning, userCanceled)]
          : [alert(warning, userCanceled)];
      const records: PlainRecord[] = [];
      let expected = '';
      for (let i = 0; i < 40; i++) {
        const text = String.fromCharCode(65 + i).repeat(1 + ((i * 37) % 600));
        expected += text;
        records.push(data(text), ...harmless, ...harmless);
      }
      peer.send(...records, closeNotify);
      expect(await witness.until('end')).toEqual([expected, 'end']);
    },
    { roles },
  );
});

describeKernel('a flood', () => {
  const many = <T>(record: T): T[] => Array.from({ length: 200 }, () => record);

  itFails(
    'of warnings ends the connection',
    many(alert(warning, userCanceled)),
    'ERR_KTLS_RECORD_FLOOD',
    unexpectedMessage,
  );
  itFails(
    'of tickets ends the connection',
    many(handshake(newSessionTicket())),
    'ERR_KTLS_RECORD_FLOOD',
    unexpectedMessage,
    { roles: ['client'], ...tls13 },
  );
  forEach(
    'of requests to renegotiate ends the connection',
    async ({ peer, witness }) => {
      const request = message(HandshakeType.helloRequest);
      peer.send(data('before'), ...many(handshake(request)));
      expect(await witness.until('close')).toEqual(['before', 'error', 'close']);
      expect(witness.error).toMatchObject({ code: 'ERR_KTLS_RECORD_FLOOD' });
      await peer.untilEnded();
      expect(peer.receivedAlerts.at(0)).toEqual([warning, noRenegotiation]);
      expect(peer.receivedAlerts.at(-1)).toEqual([fatal, unexpectedMessage]);
    },
    { roles: ['client'], ...tls12 },
  );

  forEach('of empty data records does not stop the data behind it', async (scene) => {
    scene.peer.send(...many(data('')), data('ab'));
    expect(await scene.witness.received(2)).toBe('ab');
    await expectAlive(scene);
  });
});
