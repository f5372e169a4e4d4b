/** The server of `ktls serve`: one process's part of it. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { KtlsError } from '../errors.js';
import { createServer } from '../https.js';
import type { OffloadedSocket } from '../socket/offloaded-socket.js';
import { answer, pathOf } from '../static/handler.js';
import {
  type ServeStaticOptions,
  type StaticSettings,
  parseServeStatic,
} from '../static/options.js';
import { jsonLine, logLine } from './access-log.js';
import type { Certificate } from './certificate.js';
import type { Reporter } from './reporter.js';

/** Can be sent to another process. */
export interface FileServerOptions {
  readonly root: string;
  readonly host: string;
  readonly port: number;
  readonly certificate: Certificate;
  /** A connection that cannot be offloaded fails. */
  readonly require: boolean;
  readonly files: ServeStaticOptions;
  /** The form of the access log. */
  readonly json: boolean;
}

/** A client that takes nothing for so long is gone, in milliseconds. */
const IDLE = 120_000;

let transfers = 0;

export class FileServer {
  readonly #server: Server;
  readonly #settings: StaticSettings;
  readonly #options: FileServerOptions;
  readonly #reporter: Reporter;
  /** How many requests of each secured connection are being answered. */
  readonly #busy = new Map<Socket, number>();
  readonly #accepted = new Set<Socket>();
  #stopping = false;

  /** @throws what is wrong with the certificate. */
  constructor(options: FileServerOptions, reporter: Reporter) {
    this.#options = options;
    this.#reporter = reporter;
    this.#settings = parseServeStatic(options.root, options.files);
    this.#server = createServer(
      { ...options.certificate, mode: options.require ? 'require' : 'prefer' },
      (request, response) => this.#respond(request, response),
    );
    this.#server.timeout = IDLE;
    this.#server.on('connection', (socket: Socket) => {
      this.#accepted.add(socket);
      socket.once('close', () => this.#accepted.delete(socket));
    });
    this.#server.on('secureConnection', (socket) => this.#secured(socket));
    this.#server.on('tlsClientError', (error) => {
      if (error instanceof KtlsError) this.#reporter.note(error.message);
    });
  }

  /** @returns The port. Rejects with what `listen` says. */
  async listen(): Promise<number> {
    const { host, port } = this.#options;
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no more requests; resolves when those that are being answered have their answers. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#busy.keys()) this.#endIdle(socket);
    while (this.#busy.size > 0) {
      const [socket] = this.#busy.keys();
      await new Promise((resolve) => socket!.once('close', resolve));
    }
    // What is left is in the middle of a handshake.
    for (const socket of this.#accepted) socket.destroy();
    await closed;
  }

  #secured(socket: Socket): void {
    if (this.#stopping) {
      socket.destroy();
      return;
    }
    this.#busy.set(socket, 0);
    // Before any listener of `stop`.
    socket.once('close', () => this.#busy.delete(socket));
  }

  #endIdle(socket: Socket): void {
    if (this.#busy.get(socket) === 0) socket.destroySoon();
  }

  #respond(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const { method = '', url = '', httpVersion } = request;
    const address = socket.remoteAddress;
    const { offloaded } = (socket as unknown as OffloadedSocket).offload;
    const date = new Date();
    const id = `${process.pid}-${++transfers}`;
    let sent = 0;
    const count = (by: number): void => {
      const before = this.#busy.get(socket);
      if (before !== undefined) this.#busy.set(socket, before + by);
    };
    count(1);
    if (this.#stopping) response.setHeader('Connection', 'close');
    response.once('close', () => {
      this.#reporter.done(id);
      const length = response.getHeader('Content-Length');
      if (response.writableFinished && method !== 'HEAD') sent = Number(length ?? sent);
      const { statusCode: status } = response;
      const served = { address, date, method, url, httpVersion, status, bytes: sent, offloaded };
      this.#reporter.line(this.#options.json ? jsonLine(served) : logLine(served));
      count(-1);
      if (this.#stopping) this.#endIdle(socket);
    });
    const progress = (bytes: number, total: number | null): void => {
      sent = bytes;
      if (total !== null && bytes < total) this.#reporter.transfer({ id, name: url, bytes, total });
    };
    void answer(request, response, this.#settings, { path: pathOf(url), url, progress });
  }
}
