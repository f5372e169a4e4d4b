/** Sessions of our clients: tickets that the kernel decrypted become sessions of node:tls. */
import { once } from 'node:events';
import * as tls from 'node:tls';
import { expect, it } from 'vitest';
import { OffloadedSocket } from '../../lib/index.js';
import { type AnySocket, connectTo, isOffloaded, listen } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { data, handshake, newSessionTicket } from '../support/record-peer.js';
import { scripted, versions } from '../support/scripted.js';
import { Witness } from '../support/witness.js';

/** A client of ours, once it is secured and has a session. */
async function withSession(port: number): Promise<{ client: AnySocket; session: Buffer }> {
  const client = connectTo(port, 'ktls');
  const told = once(client, 'session') as Promise<[Buffer]>;
  await once(client, 'secureConnect');
  expect(isOffloaded(client)).toBe(true);
  return { client, session: (await told)[0] };
}

describeKernel('sessions', () => {
  for (const version of versions) {
    it(`of one connection resume the next, and the one after (${version})`, async () => {
      const { listener, port } = await listen('node', {
        minVersion: version,
        maxVersion: version,
      });
      const reusedAtServer: boolean[] = [];
      listener.on('secureConnection', (socket: tls.TLSSocket) => {
        reusedAtServer.push(socket.isSessionReused());
        // A second ticket may be on its way to a client that has gone.
        socket.on('error', () => undefined);
        socket.resume();
      });
      let session: Buffer | undefined;
      for (const reused of [false, true, true]) {
        const client = connectTo(port, 'ktls', session === undefined ? {} : { session });
        const told = once(client, 'session') as Promise<[Buffer]>;
        // A resumed connection need not bring another ticket.
        told.catch(() => undefined);
        const accepted = once(listener, 'secureConnection');
        await Promise.all([once(client, 'secureConnect'), accepted]);
        expect(isOffloaded(client)).toBe(true);
        expect(client.isSessionReused()).toBe(reused);
        if (!reused) session = (await told)[0];
        expect(client.getSession()!.length).toBeGreaterThan(100);
        client.destroy();
        await once(client, 'close');
      }
      expect(reusedAtServer).toEqual([false, true, true]);
      listener.close();
    });
  }

  it('come after secureConnect, and the key log before it', async () => {
    const { listener, port } = await listen('node', { maxVersion: 'TLSv1.2' });
    const client = connectTo(port, 'ktls');
    const events: string[] = [];
    for (const event of ['keylog', 'secureConnect', 'session']) {
      client.on(event, () => events.push(event));
    }
    await once(client, 'session');
    expect(events).toEqual(['keylog', 'secureConnect', 'session']);
    client.destroy();
    listener.close();
  });

  it('leave a line of the key log to a listener that wanted one and no more', async () => {
    const { listener, port } = await listen('node', { maxVersion: 'TLSv1.2' });
    const client = connectTo(port, 'ktls');
    const line = once(client, 'keylog') as Promise<[Buffer]>;
    await once(client, 'secureConnect');
    expect((await line).toString()).toMatch(/^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n$/);
    client.destroy();
    listener.close();
  });

  it('come from our own server too', async () => {
    const { listener, port } = await listen('ktls');
    listener.on('secureConnection', (socket) => socket.on('error', () => undefined));
    const { client, session } = await withSession(port);
    client.destroy();
    const second = connectTo(port, 'ktls', { session });
    await once(second, 'secureConnect');
    expect(isOffloaded(second)).toBe(true);
    expect(second.isSessionReused()).toBe(true);
    second.destroy();
    listener.close();
  });

  it('come of tickets among data, in pieces and several to a record', async () => {
    await using scene = await scripted('client', 'TLSv1.3');
    const { peer, socket } = scene;
    const client = socket as OffloadedSocket;
    const witness = new Witness(client);
    let sessions = 0;
    client.on('session', () => sessions++);
    const tickets = [newSessionTicket(100), newSessionTicket(9_000), newSessionTicket(7)];
    const [first, large, last] = tickets as [Buffer, Buffer, Buffer];
    peer.send(data('one '), handshake(first), data('two '));
    for (let at = 0; at < large.length; at += 4_000) {
      peer.send(handshake(large.subarray(at, at + 4_000)));
    }
    const joined = Buffer.concat([last, first]);
    peer.send(data('three '), handshake(joined.subarray(0, 3)), handshake(joined.subarray(3)));
    peer.send(data('four'));
    const text = 'one two three four';
    expect(await witness.received(text.length)).toBe(text);
    while (sessions < 4) await once(client, 'session');
    expect(client.getSession()!.length).toBeGreaterThan(0);
    expect(client.destroyed).toBe(false);
  });

  it('stop coming when the socket is closed', async () => {
    await using scene = await scripted('client', 'TLSv1.3');
    const client = scene.socket as OffloadedSocket;
    client.destroy();
    scene.peer.send(handshake(newSessionTicket()));
    await once(client, 'close');
    expect(client.getSession() ?? null).toBe(null);
  });
});
