/** The declarations beside those of the newest Node, which says of every `net.Socket` that it has a server or null. */
import type { Server, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import ktls, { type OffloadedSocket } from 'ktls';

export const socket: TLSSocket = ktls.connect({ port: 443 });
export const server: Server = ktls.createServer({}, (accepted: TLSSocket) => void accepted.end());
export const base: Socket = {} as OffloadedSocket;
