/** Workers, cluster, and a clean end from every stage of a connection's life, in real processes. */
import { execFile } from 'node:child_process';
import { expect, it, vi } from 'vitest';
import { ecdsaCertificate } from '../support/certificates.js';
import { describeKernel } from '../support/kernel.js';

interface Ended {
  code: number | string | null;
  output: string;
}

/** Runs the fixture up to the stage; a process that hangs is killed, and its code is then null. */
function run(stage: string): Promise<Ended> {
  const { key, cert } = ecdsaCertificate();
  const env = { ...process.env, TEST_KEY: key, TEST_CERT: cert };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['test/lifecycle/fixtures/echo.mjs', stage],
      { env, timeout: 110_000, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : (error.code ?? null), output: stdout + stderr });
      },
    );
  });
}

// A process of Node takes seconds to start under emulation, and some start several.
vi.setConfig({ testTimeout: 120_000 });

describeKernel('a process ends cleanly', () => {
  it.each([
    ['by itself when all is closed', 'naturally'],
    ['by process.exit() while connecting', 'connecting'],
    ['by process.exit() in the handshake', 'handshaking'],
    ["by process.exit() in 'secureConnect'", 'secured'],
    ['by process.exit() with writes under way', 'writing'],
    ['by process.exit() at the end of the stream', 'closing'],
    ['by itself when only unreferenced sockets are left', 'unreferenced'],
  ])('%s', async (_name, stage) => {
    expect(await run(stage)).toEqual({ code: 0, output: '' });
  });
});

describeKernel('more than one thread or process', () => {
  it("an exception in a 'data' listener is reported, and the socket goes on", async () => {
    const output = 'caught: in a data listener\nthen: second\n';
    expect(await run('throwing')).toEqual({ code: 0, output });
  });

  it('clients in two workers talk to a server in the main thread', async () => {
    expect(await run('workers')).toEqual({ code: 0, output: 'workers: 0,0\n' });
  });

  it('a server in a worker serves, and its worker can be terminated', async () => {
    expect(await run('serverInWorker')).toEqual({ code: 0, output: 'done\n' });
  });

  it('workers terminated at any moment leave the process healthy', async () => {
    expect(await run('terminated')).toEqual({ code: 0, output: 'alive\n' });
  });

  it('a cluster of two serves from one port', async () => {
    expect(await run('cluster')).toEqual({ code: 0, output: 'done\n' });
  });
});
