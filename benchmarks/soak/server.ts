/**
 * The server of a soak. A client says on one line what it wants, and how many bytes of it; some of what it
 * can want ends badly. Requests of HTTP are answered on a port of their own.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import ktls from 'ktls';
import https from 'ktls/https';
import { MOST, type SoakPorts, type SoakServerSettings } from './protocol.js';
import { processState } from './state.js';

/** For connections to be over, in milliseconds, after the clients have closed all of theirs. */
const PATIENCE = 30_000;

/** A connection that is not offloaded fails, and its client then misses what it asked for. */
const credentials = {
  ...(JSON.parse(process.argv[2]!) as SoakServerSettings),
  mode: 'require',
} as const;
const folder = mkdtempSync(join(tmpdir(), 'ktls-soak-'));
const file = join(folder, 'file');
const body = Buffer.alloc(MOST, 'soak');
writeFileSync(file, body);

const answers: Readonly<Record<string, (socket: TLSSocket, bytes: number) => void>> = {
  /** And the end. */
  data: (socket, bytes) => socket.end(body.subarray(0, bytes)),
  /** And further requests. */
  keep: (socket, bytes) => socket.write(body.subarray(0, bytes)),
  /** By sendfile(2), and the end. */
  file: (socket, bytes) => {
    ktls.sendFile(socket, file, { end: bytes - 1 }).then(
      () => socket.end(),
      () => undefined, // The client did not want so much.
    );
  },
  reset: (socket, bytes) => {
    socket.write(body.subarray(0, bytes), () => socket.resetAndDestroy());
  },
  destroy: (socket, bytes) => {
    socket.write(body.subarray(0, bytes), () => socket.destroy());
  },
  /** When the client has ended its side. */
  late: (socket, bytes) => {
    socket.once('end', () => socket.end(body.subarray(0, bytes)));
  },
  /** When the client has ended its side: the other one does not get an end. */
  half: (socket, bytes) => {
    socket.once('end', () => socket.write(body.subarray(0, bytes), () => socket.destroy()));
  },
};

function serve(socket: TLSSocket): void {
  // What clients do to their connections is the point of it.
  socket.on('error', () => undefined);
  let line = '';
  socket.on('data', (chunk: Buffer) => {
    line += chunk.toString('latin1');
    if (!line.endsWith('\n')) return;
    const [verb, bytes] = line.trim().split(' ');
    line = '';
    answers[verb!]!(socket, Number(bytes));
  });
}

const servers: Readonly<Record<keyof SoakPorts, Server>> = {
  tls: ktls.createServer(credentials, serve),
  halfOpen: ktls.createServer({ ...credentials, allowHalfOpen: true } as object, serve),
  https: https.createServer(credentials, (request, response) => {
    response.end(body.subarray(0, Number(request.url!.slice(1))));
  }),
};

const listening = Object.entries(servers).map(async ([name, server]) => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return [name, (server.address() as AddressInfo).port];
});
process.send!(Object.fromEntries(await Promise.all(listening)));

async function openConnections(): Promise<number> {
  const counts = Object.values(servers).map(
    (server) =>
      new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count))),
  );
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

async function state(): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  while ((await openConnections()) > 0 && Date.now() < deadline) await sleep(20);
  process.send!(await processState());
}

process.on('message', () => void state());
process.on('disconnect', () => {
  rmSync(folder, { recursive: true });
  process.exit();
});
