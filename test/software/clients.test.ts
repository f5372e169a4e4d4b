/**
 * Clients that know nothing of this package, in processes started with `ktls/register`, against the servers
 * that Debian has: each moves real data over a connection that the kernel encrypts.
 */
import { chmodSync } from 'node:fs';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { freePort } from '../../benchmarks/ports.js';
import { ecdsaCertificate, rsaCertificate } from '../support/certificates.js';
import { Daemon, hand, runUnprivileged } from '../support/daemon.js';
import { runExample } from '../support/examples.js';
import { describeKernel } from '../support/kernel.js';
import { preload } from '../support/register.js';
import { Scratch } from '../support/scratch.js';
import { clean, runScript, scriptTimeout, startScript } from '../support/script.js';

vi.setConfig(scriptTimeout);

/** What the clients' scripts begin with: what becomes of each connection of the process is said. */
const client = `
import { subscribe } from 'node:diagnostics_channel';
import { createHash, randomBytes } from 'node:crypto';
subscribe('ktls:offload', ({ version }) => say('offloaded', version));
subscribe('ktls:refusal', ({ reason }) => say('refused', reason.code));
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const ca = certificate.cert;
const { port } = given;
`;

const run = (body: string, given: object, env: NodeJS.ProcessEnv = {}) =>
  runScript(client + body, { given, env, nodeArguments: preload });

const offloaded = 'offloaded TLSv1.3\n';

describeKernel('under ktls/register', () => {
  const scratch = new Scratch();
  const { cert, key } = ecdsaCertificate();
  const certificate = scratch.write('certificate.pem', cert);
  const privateKey = scratch.write('key.pem', key);
  hand(scratch.directory, certificate, privateKey);
  afterAll(() => scratch.remove());

  const data = scratch.path('postgres');
  // Minutes under emulation.
  beforeAll(() => {
    const make = ['initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync'];
    runUnprivileged([...make, '--locale=C', '--encoding=UTF8'], scratch);
    chmodSync(privateKey, 0o600);
  }, 300_000);

  it('pg talks to PostgreSQL, which is asked for TLS in clear first', async () => {
    const port = await freePort();
    const settings = {
      port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: scratch.directory,
      fsync: 'off',
      ssl: 'on',
      ssl_cert_file: certificate,
      ssl_key_file: privateKey,
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    await using _postgres = await Daemon.start(['postgres', '-D', data, ...options], port, scratch);
    const ended = await run(
      `
      import pg from 'pg';
      const client = new pg.Client({
        host: '127.0.0.1', port, user: 'postgres', database: 'postgres', ssl: { ca },
      });
      await client.connect();
      const { rows: [session] } = await client.query(
        'select ssl, version from pg_stat_ssl where pid = pg_backend_pid()');
      say('server says', session.ssl, session.version);
      await client.query('create table big (id int primary key, data bytea)');
      const blob = randomBytes(1024 * 1024);
      for (let id = 0; id < 4; id++) await client.query('insert into big values ($1, $2)', [id, blob]);
      const { rows } = await client.query('select data from big');
      say('blobs', rows.every(({ data }) => sha256(data) === sha256(blob)) && rows.length);
      const many = await client.query("select i, md5(i::text) as sum from generate_series(1, 5000) i");
      say('rows', many.rows.every(({ i, sum }) => createHash('md5').update(String(i)).digest('hex') === sum)
        && many.rows.length);
      await client.end();
      `,
      { port },
    );
    expect(ended).toMatchObject({
      ...clean,
      stdout: `${offloaded}server says true TLSv1.3\nblobs 4\nrows 5000\n`,
    });
    const where = { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'postgres' };
    const output = await runExample('pg', { ...where, PGDATABASE: 'postgres', CA: certificate });
    expect(output).toMatch(/^client: kernel\nPostgreSQL \d+/);
  });

  it('ioredis talks to Redis: large values, pipelines, subscriptions', async () => {
    const port = await freePort();
    const settings = {
      port: '0',
      'tls-port': String(port),
      'tls-cert-file': certificate,
      'tls-key-file': privateKey,
      'tls-auth-clients': 'no',
      save: '',
    };
    const options = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    await using _redis = await Daemon.start(['redis-server', ...options], port, scratch);
    const ended = await run(
      `
      import { Redis } from 'ioredis';
      const connection = () => new Redis({ host: '127.0.0.1', port, tls: { ca } });
      const client = connection();
      const value = randomBytes(3 * 1024 * 1024);
      await client.set('value', value);
      say('value', sha256(await client.getBuffer('value')) === sha256(value));
      const pipeline = client.pipeline();
      for (let i = 0; i < 2000; i++) pipeline.incr('counter');
      const answers = await pipeline.exec();
      say('counter', answers.every(([error, count], index) => error === null && count === index + 1));
      const subscriber = connection();
      await subscriber.subscribe('news');
      const heard = once(subscriber, 'message');
      await client.publish('news', 'x'.repeat(100_000));
      say('message', (await heard)[1].length);
      await Promise.all([client.quit(), subscriber.quit()]);
      `,
      { port },
    );
    expect(ended).toMatchObject({
      ...clean,
      stdout: `${offloaded}value true\ncounter true\n${offloaded}message 100000\n`,
    });
  });

  it('mqtt talks to Mosquitto', async () => {
    const port = await freePort();
    const configuration = scratch.write(
      'mosquitto.conf',
      `listener ${port} 127.0.0.1\nallow_anonymous true\ncertfile ${certificate}\nkeyfile ${privateKey}\n`,
    );
    await using _mosquitto = await Daemon.start(['mosquitto', '-c', configuration], port, scratch);
    const ended = await run(
      `
      import mqtt from 'mqtt';
      const client = await mqtt.connectAsync('mqtts://127.0.0.1:' + port, { ca });
      await client.subscribeAsync('bulk/#', { qos: 1 });
      const sent = Array.from({ length: 20 }, () => randomBytes(100_000));
      const received = [];
      const all = new Promise((resolve) => client.on('message', (topic, payload) => {
        received.push(sha256(payload));
        if (received.length === sent.length) resolve();
      }));
      for (const payload of sent) await client.publishAsync('bulk/data', payload, { qos: 1 });
      await all;
      say('messages', received.join() === sent.map(sha256).join() && received.length);
      await client.endAsync();
      `,
      { port },
    );
    expect(ended).toMatchObject({ ...clean, stdout: `${offloaded}messages 20\n` });
  });

  it('nodemailer sends by STARTTLS to an SMTP server in node:tls', async () => {
    // It upgrades its sockets by the TLS object itself, which is why it is not under ktls/register.
    const server = startScript(
      `
      import { SMTPServer } from 'smtp-server';
      import { createHash } from 'node:crypto';
      const smtp = new SMTPServer({
        ...certificate, authOptional: true, size: 1e8,
        onData(stream, session, done) {
          const hash = createHash('sha256');
          let bytes = 0;
          stream.on('data', (data) => { hash.update(data); bytes += data.length; });
          stream.on('end', () => { say('mail', session.secure, bytes, hash.digest('hex')); done(); });
        },
      });
      smtp.on('error', (error) => say('error', error.code));
      smtp.listen(0, '127.0.0.1', () => say('port', smtp.server.address().port));
      `,
    );
    try {
      const port = Number(await server.said('port'));
      const ended = await run(
        `
        import nodemailer from 'nodemailer';
        const transport = nodemailer.createTransport({
          host: '127.0.0.1', port, secure: false, requireTLS: true, tls: { ca },
        });
        const raw = 'Subject: x\\r\\n\\r\\n' + (randomBytes(57).toString('base64') + '\\r\\n').repeat(20_000);
        await transport.sendMail({ envelope: { from: 'a@example.com', to: 'b@example.com' }, raw });
        say('sent', raw.length, sha256(raw));
        transport.close();
        `,
        { port },
      );
      expect(ended).toMatchObject(clean);
      expect(ended.stdout.startsWith(`${offloaded}sent `)).toBe(true);
      const [, length, digest] = ended.stdout.slice(offloaded.length).trim().split(' ');
      expect(await server.said('mail')).toBe(`true ${length} ${digest}`);
    } finally {
      server.process.kill('SIGKILL');
      await server.ended;
    }
  });

  it('undici, axios and fetch talk to a server in node:tls', async () => {
    const trusted = scratch.write('trusted.pem', rsaCertificate().cert);
    const server = startScript(
      `
      import https from 'node:https';
      import { createHash } from 'node:crypto';
      const listener = https.createServer(given.certificate, async (request, response) => {
        const hash = createHash('sha256');
        for await (const chunk of request) hash.update(chunk);
        response.end(hash.digest('hex').repeat(20_000));
      });
      say('port', await listening(listener));
      `,
      { given: { certificate: rsaCertificate() } },
    );
    try {
      const port = Number(await server.said('port'));
      const ended = await run(
        `
        import axios from 'axios';
        import { Agent, request } from 'undici';
        import https from 'node:https';
        const url = 'https://127.0.0.1:' + port;
        const body = randomBytes(2 * 1024 * 1024);
        const right = (text) => text === sha256(body).repeat(20_000);
        const dispatcher = new Agent();
        const answer = await request(url, { method: 'POST', body, dispatcher });
        say('undici', right(await answer.body.text()));
        await dispatcher.close();
        const httpsAgent = new https.Agent({ keepAlive: true });
        const { data } = await axios.post(url, body, { httpsAgent, responseType: 'text' });
        say('axios', right(data));
        httpsAgent.destroy();
        const fetched = await fetch(url, { method: 'POST', body });
        say('fetch', right(await fetched.text()));
        process.exit();
        `,
        { port },
        { NODE_EXTRA_CA_CERTS: trusted },
      );
      const stdout = ['undici', 'axios', 'fetch'].map((name) => `${offloaded}${name} true\n`);
      expect(ended).toMatchObject({ ...clean, stdout: stdout.join('') });
    } finally {
      server.process.kill('SIGKILL');
      await server.ended;
    }
  });
});
