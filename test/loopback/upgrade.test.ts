/** `connect({ socket })` on a socket that cannot be taken over. */
import { once } from 'node:events';
import { type AddressInfo, Socket, connect as tcpConnect, createServer } from 'node:net';
import * as tls from 'node:tls';
import { describe, expect, it, vi } from 'vitest';
import * as ktls from '../../lib/index.js';

const insecure = { rejectUnauthorized: false };

describe('a socket that is not pristine goes to node:tls unharmed', () => {
  it('with bytes read ahead, which count', async () => {
    const server = createServer((raw) => {
      raw.write('this is not TLS, and it comes first');
      raw.on('error', () => undefined);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const raw = tcpConnect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(raw, 'readable');
    const socket = ktls.connect({ socket: raw, ...insecure });
    expect(socket).toBeInstanceOf(tls.TLSSocket);
    expect(socket.offload.reason).toBe('ERR_KTLS_NOT_TCP');
    await expect(once(socket, 'secureConnect')).rejects.toMatchObject({
      code: 'ERR_SSL_WRONG_VERSION_NUMBER',
    });
    server.close();
  });

  it('with writes under way, which go first', async () => {
    const received: Buffer[] = [];
    const server = createServer((raw) => {
      raw.on('data', (chunk: Buffer) => received.push(chunk));
      raw.on('error', () => undefined);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const raw = new Socket();
    raw.connect((server.address() as AddressInfo).port, '127.0.0.1');
    raw.write('in clear, first');
    const socket = ktls.connect({ socket: raw, ...insecure });
    expect(socket).toBeInstanceOf(tls.TLSSocket);
    expect(socket.offload.reason).toBe('ERR_KTLS_NOT_TCP');
    socket.on('error', () => undefined);
    await vi.waitFor(() => expect(Buffer.concat(received).length).toBeGreaterThan(100), 20_000);
    const all = Buffer.concat(received);
    expect(all.subarray(0, 15).toString()).toBe('in clear, first');
    expect(all[15]).toBe(0x16);
    raw.destroy();
    server.close();
    await once(socket, 'close');
  });
});
