/** `ktls:error`: what ends a connection, in its handshake or later, is told once, with its socket. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type * as tls from 'node:tls';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ContentType } from '../../lib/tls/constants.js';
import { connectPair, connectTo, listen } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { data } from '../support/record-peer.js';
import { roles, scripted, versions } from '../support/scripted.js';
import { Witness } from '../support/witness.js';

interface Message {
  socket: object;
  error: NodeJS.ErrnoException;
}
let messages: Message[] = [];
const note = (message: unknown): void => void messages.push(message as Message);
beforeEach(() => {
  messages = [];
  subscribe('ktls:error', note);
});
afterEach(() => void unsubscribe('ktls:error', note));

/** Of a socket: the other end has its own to say. */
const about = (socket: object): NodeJS.ErrnoException[] =>
  messages.filter((message) => message.socket === socket).map(({ error }) => error);

/** A record of 40 bytes, under no key. */
const forged = Buffer.from([ContentType.applicationData, 3, 3, 0, 40, ...Buffer.alloc(40)]);

describeKernel('ktls:error', () => {
  for (const version of versions) {
    for (const role of roles) {
      it(`tells of a record that does not authenticate (${version}, ${role})`, async () => {
        await using scene = await scripted(role, version);
        const witness = new Witness(scene.socket);
        scene.peer.send(data('whole'));
        await witness.received(5);
        scene.peer.socket.write(forged);
        await witness.until('close');
        expect(about(scene.socket)).toEqual([witness.error]);
        expect(witness.error).toMatchObject({ code: 'ERR_KTLS_BAD_RECORD' });
      });
    }
  }

  it('tells of a certificate that a client does not accept', async () => {
    const { listener, port } = await listen('node');
    listener.on('tlsClientError', () => undefined);
    const socket = connectTo(port, 'ktls', { rejectUnauthorized: true });
    await expect(once(socket, 'secureConnect')).rejects.toMatchObject({
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
    expect(about(socket)).toMatchObject([{ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }]);
    listener.close();
    await once(listener, 'close');
  });

  it('tells of a handshake that a server cannot agree to', async () => {
    const { listener, port } = await listen('ktls', { minVersion: 'TLSv1.3' });
    const failed = once(listener, 'tlsClientError') as Promise<[Error, tls.TLSSocket]>;
    const client = connectTo(port, 'node', { maxVersion: 'TLSv1.2' });
    client.on('error', () => undefined);
    const [error, socket] = await failed;
    if (!socket.closed) await once(socket, 'close');
    expect(about(socket)).toEqual([error]);
    listener.close();
    await once(listener, 'close');
  });

  it('has nothing to tell of an end in good order', async () => {
    await using pair = await connectPair();
    pair.server.resume();
    pair.client.resume();
    const closed = Promise.all([once(pair.server, 'close'), once(pair.client, 'close')]);
    pair.client.end();
    await closed;
    expect(messages).toEqual([]);
  });
});
