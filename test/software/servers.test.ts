/**
 * Frameworks that know nothing of this package, on servers given to `offload()` or, where they make their
 * server themselves, under `ktls/register`; called by clients of other makes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, expect, it, vi } from 'vitest';
import { Agent, type Dispatcher, request } from 'undici';
import { ecdsaCertificate } from '../support/certificates.js';
import { curl } from '../support/curl.js';
import { describeKernel } from '../support/kernel.js';
import { preload } from '../support/register.js';
import { Scratch } from '../support/scratch.js';
import { clean, runScript, scriptTimeout, startScript } from '../support/script.js';

vi.setConfig(scriptTimeout);

const upload = randomBytes(1024 * 1024);
const digest = createHash('sha256').update(upload).digest('hex');
/** What each server answers to the upload. */
const answer = digest.repeat(10_000);

/** Begins a server's script: `read` takes a request's body, `answer` is what is sent back for it. */
const beginning = `
import http2 from 'node:http2';
import https from 'node:https';
import { createHash } from 'node:crypto';
const read = async (stream) => {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex').repeat(10_000);
};
const start = async (listener) => {
  listener.on('secureConnection', ({ offload, alpnProtocol }) =>
    say('connection', offload.offloaded, alpnProtocol));
  say('port', await listening(ktls.offload(listener)));
};
const both = { ...certificate, allowHTTP1: true };
`;

const express = `
import express from 'express';
const app = express();
app.post('/', async (request, response) => response.send(await read(request)));
await start(https.createServer(certificate, app));
`;

const koa = `
import Koa from 'koa';
const app = new Koa();
app.use(async (context) => { context.body = await read(context.req); });
await start(http2.createSecureServer(both, app.callback()));
`;

const fastify = `
import { fastify } from 'fastify';
const app = fastify({
  bodyLimit: 1e8,
  serverFactory: (handler) => http2.createSecureServer(both, handler),
});
app.addContentTypeParser('*', (request, payload, done) => done(null, payload));
app.post('/', (request) => read(request.body));
await app.ready();
await start(app.server);
`;

describeKernel('an offloaded server', () => {
  const scratch = new Scratch();
  const { cert } = ecdsaCertificate();
  const trusted = scratch.write('trusted.pem', cert);
  const body = scratch.write('upload', upload);
  const agents: Dispatcher[] = [];
  afterAll(async () => {
    for (const agent of agents) await agent.destroy();
    scratch.remove();
  });

  it.each([
    ['Express', express, false],
    ['Koa over HTTP/2', koa, true],
    ['Fastify over HTTP/2', fastify, true],
  ])('of %s serves curl and undici', async (_name, script, http2) => {
    const server = startScript(beginning + script);
    try {
      const port = await server.said('port');
      const url = `https://localhost:${port}/`;
      const post = ['--cacert', trusted, '--data-binary', `@${body}`];
      const type = ['-H', 'Content-Type: application/octet-stream', url];
      for (const version of http2 ? ['1.1', '2'] : ['1.1']) {
        const { code, stdout, transfers } = await curl(`--http${version}`, ...post, ...type);
        expect([code, transfers[0]?.http_code, transfers[0]?.http_version]).toEqual([
          0,
          200,
          version,
        ]);
        expect(stdout.toString() === answer).toBe(true);
        expect(await server.said('connection')).toBe(`true ${version === '2' ? 'h2' : 'http/1.1'}`);
      }
      const dispatcher = new Agent({ connect: { ca: cert }, allowH2: http2 });
      agents.push(dispatcher);
      for (let i = 0; i < 2; i++) {
        const response = await request(url, {
          method: 'POST',
          body: upload,
          headers: { 'content-type': 'application/octet-stream' },
          dispatcher,
        });
        expect(response.statusCode).toBe(200);
        expect((await response.body.text()) === answer).toBe(true);
      }
      expect(await server.said('connection')).toMatch(/^true /);
    } finally {
      server.process.kill('SIGKILL');
      await server.ended;
    }
  });

  it('of ws moves messages both ways, in pieces and whole, and ends in order', async () => {
    const ended = await runScript(
      `${beginning}
      import { WebSocket, WebSocketServer } from 'ws';
      const listener = https.createServer(certificate);
      new WebSocketServer({ server: listener }).on('connection', (socket) =>
        socket.on('message', (data, binary) => socket.send(data, { binary })));
      await start(listener);
      const client = new WebSocket('wss://localhost:' + listener.address().port, {
        ca: certificate.cert, createConnection: ktls.connect,
      });
      await once(client, 'open');
      say('client', client._socket.offload.offloaded);
      let right = 0;
      for (const size of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
        const data = Buffer.alloc(size, size);
        client.send(data);
        const [echoed] = await once(client, 'message');
        if (echoed.equals(data)) right++;
      }
      say('echoed', right);
      client.close(1000);
      say('closed', (await once(client, 'close'))[0]);
      listener.close();
      `,
    );
    expect(ended).toMatchObject(clean);
    const said = ended.stdout.split('\n').filter((line) => !line.startsWith('port '));
    expect(said.sort()).toEqual(
      ['connection true false', 'client true', 'echoed 7', 'closed 1000', ''].sort(),
    );
  });

  it('of gRPC answers calls and streams, client and server under ktls/register', async () => {
    const ended = await runScript(
      `
      import { subscribe } from 'node:diagnostics_channel';
      import grpc from '@grpc/grpc-js';
      let offloaded = 0;
      subscribe('ktls:offload', () => offloaded++);
      subscribe('ktls:refusal', ({ reason }) => say('refused', reason.code));
      const bytes = { requestSerialize: (b) => b, requestDeserialize: (b) => b,
        responseSerialize: (b) => b, responseDeserialize: (b) => b };
      const service = {
        Echo: { path: '/test.Test/Echo', requestStream: false, responseStream: false, ...bytes },
        Count: { path: '/test.Test/Count', requestStream: false, responseStream: true, ...bytes },
      };
      const listener = new grpc.Server({ 'grpc.max_receive_message_length': 1e8 });
      listener.addService(service, {
        Echo: (call, done) => done(null, call.request),
        Count: (call) => { for (let i = 0; i < 500; i++) call.write(Buffer.alloc(1000, i)); call.end(); },
      });
      const pem = (text) => Buffer.from(text);
      const pairs = [{ private_key: pem(certificate.key), cert_chain: pem(certificate.cert) }];
      const port = await new Promise((resolve, reject) => listener.bindAsync('127.0.0.1:0',
        grpc.ServerCredentials.createSsl(null, pairs), (error, port) => error ? reject(error) : resolve(port)));
      const Client = grpc.makeGenericClientConstructor(service, 'Test');
      const client = new Client('localhost:' + port, grpc.credentials.createSsl(pem(certificate.cert)),
        { 'grpc.max_receive_message_length': 1e8 });
      const message = Buffer.alloc(2_000_000, 'grpc');
      const echoed = await new Promise((resolve, reject) =>
        client.Echo(message, (error, reply) => error ? reject(error) : resolve(reply)));
      say('echo', echoed.equals(message));
      let counted = 0;
      for await (const part of client.Count(Buffer.of(1))) {
        if (part.equals(Buffer.alloc(1000, counted))) counted++;
      }
      say('counted', counted);
      client.close();
      await new Promise((resolve) => listener.tryShutdown(resolve));
      say('offloaded', offloaded);
      `,
      { nodeArguments: preload },
    );
    expect(ended).toMatchObject({
      ...clean,
      stdout: 'echo true\ncounted 500\noffloaded 2\n',
    });
  });
});
