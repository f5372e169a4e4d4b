/** No secret of a connection is in what this library tells: errors, diagnostics, `util.inspect`, `NODE_DEBUG`. */
import { expect, it, vi } from 'vitest';
import { connectionSecrets } from '../support/connection-secrets.js';
import { fault, withFaults } from '../support/faults.js';
import { describeKernel } from '../support/kernel.js';
import { scriptTimeout, startScript } from '../support/script.js';
import { type Version, versions } from '../support/scripted.js';
import { tap } from '../support/wire.js';

vi.setConfig(scriptTimeout);

const ciphers: Readonly<Record<Version, string>> = {
  'TLSv1.2': 'ECDHE-ECDSA-AES128-GCM-SHA256',
  'TLSv1.3': 'TLS_AES_128_GCM_SHA256',
};

/** Both ends are ours. Says whatever it can get hold of; the secrets are for the test alone. */
const body = `
  const { default: buffer } = await import('node:buffer');
  const { subscribe } = await import('node:diagnostics_channel');
  const { inspect } = await import('node:util');
  buffer.INSPECT_MAX_BYTES = Infinity;
  const everything = { depth: 6, showHidden: true, maxArrayLength: null, maxStringLength: null, breakLength: Infinity };
  const tell = (what) => say(inspect(what, everything), String(what));
  for (const name of ['offload', 'refusal', 'rekey', 'error']) {
    subscribe('ktls:' + name, (message) => { say('ktls:' + name); tell(message); });
  }
  const told = (error) => { tell(error); say(error?.code, error?.stack, JSON.stringify(error)); };
  const { version, cipher, control, fault } = given;
  const limits = { minVersion: version, maxVersion: version, ciphers: cipher };
  const listener = server(limits);
  const accepted = once(listener, 'secureConnection');
  listener.on('tlsClientError', told);
  // Not to fail the questions that the kernel is asked once.
  ktls.probe();
  process.env.KTLS_FAULT = fault;
  say('port', await listening(listener));
  const lines = readline.createInterface(process.stdin)[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value;
  const client = connect(Number(await next()), limits);
  client.on('keylog', (line) => say('keylog', line.toString().trim()));
  client.on('error', told);
  const closed = once(client, 'close');
  const secured = once(client, 'secureConnect').then(() => accepted, () => null);
  const [accepting] = (await secured) ?? [];
  if (accepting !== undefined && !client.destroyed) {
    accepting.on('error', told);
    // What a secret would look like.
    client.control = Buffer.from(control, 'hex');
    for (const socket of [client, accepting]) {
      tell(socket);
      say(JSON.stringify(socket.offload));
      await socket.sendFile('/').catch(told);
      await socket.updateKeys().catch(told);
      try { socket.exportKeyingMaterial(-1, 'x'); } catch (error) { told(error); }
    }
    say('forge');
    await next();
    client.destroy();
    accepting.destroy();
  }
  await closed;
  tell(client);
  listener.close();
  say('over');
  lines.return();
`;

/** What a connection comes to, by the call that fails. */
const outcomes = [
  { name: 'is offloaded', failing: '', channel: 'ktls:offload', code: 'ERR_KTLS_BAD_RECORD' },
  {
    name: 'is refused',
    failing: fault('tx', 'ENOMEM', 0),
    channel: 'ktls:refusal',
    code: 'ERR_KTLS_RESOURCES',
  },
  {
    name: 'dies at the commit point',
    failing: fault('rx', 'ENOMEM', 0),
    channel: 'ktls:error',
    code: 'ERR_KTLS_INSTALL',
  },
];

const control = Buffer.from('0123456789abcdefcafebabe00112233', 'hex');

const spaced = (text: string): string => text.replace(/../g, '$& ');

/** How bytes may stand in a text. */
const forms: [form: string, write: (bytes: Buffer) => string][] = [
  ['hex', (bytes) => bytes.toString('hex')],
  ['HEX', (bytes) => bytes.toString('hex').toUpperCase()],
  ['util.inspect', (bytes) => spaced(bytes.toString('hex')).trim()],
  ['base64', (bytes) => bytes.toString('base64').replace(/=+$/, '')],
  ['base64url', (bytes) => bytes.toString('base64url')],
  ['decimals', (bytes) => bytes.join()],
  ['spaced decimals', (bytes) => bytes.join(', ')],
  ['latin1', (bytes) => bytes.toString('latin1')],
  ['utf8', (bytes) => bytes.toString('utf8')],
];

/** In which of them a secret does; numbers may be in columns. */
function formsIn(text: string, secret: Buffer): string[] {
  const texts = [text, text.replace(/\s+/g, ' ')];
  const isIn = (written: string): boolean => texts.some((each) => each.includes(written));
  return forms.filter(([, write]) => isIn(write(secret))).map(([form]) => form);
}

describeKernel('a secret is in nothing that is told of a connection', () => {
  for (const version of versions) {
    for (const { name, failing, channel, code } of outcomes) {
      it(`that ${name} (${version})`, async () => {
        const cipher = ciphers[version];
        const script = startScript(body, {
          given: { version, cipher, control: control.toString('hex'), fault: failing },
          env: { NODE_DEBUG: 'ktls', ...withFaults() },
        });
        const wire = await tap(Number(await script.said('port')));
        script.tell(String(wire.port));
        if (channel === 'ktls:offload') {
          await script.said('forge');
          const [near] = wire.sockets;
          near!.write(Buffer.from([23, 3, 3, 0, 40, ...Buffer.alloc(40)]));
          await script.said('ERR_KTLS_BAD_RECORD');
          script.tell('');
        }
        const { stdout, stderr } = await script.finish();
        await wire.close();
        const lines = stdout.split('\n');
        const isKeylog = (line: string): boolean => line.startsWith('keylog ');
        const keylog = lines.filter(isKeylog).map((line) => Buffer.from(line.slice(7)));
        const text = [...lines.filter((line) => !isKeylog(line)), stderr].join('\n');
        expect(text).toContain(channel);
        expect(text).toContain(code);
        expect(stderr).toMatch(/KTLS/);
        if (channel !== 'ktls:error') expect(formsIn(text, control)).toContain('util.inspect');
        const { traffic, exporter, keys, ivs } = connectionSecrets(version, cipher, keylog, wire);
        for (const [what, secret] of Object.entries({ ...traffic, ...exporter, ...keys, ...ivs })) {
          expect(formsIn(text, secret), what).toEqual([]);
        }
      });
    }
  }

  it.each(forms)('and would be seen in it as %s', (form, write) => {
    expect(formsIn(`<Buffer ${write(control)}>`, control)).toContain(form);
  });
});
