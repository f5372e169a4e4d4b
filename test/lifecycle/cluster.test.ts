/** node:cluster: worker processes that share a port. */
import { expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import { clean, runScript, scriptTimeout } from '../support/script.js';

vi.setConfig(scriptTimeout);

describeKernel('a cluster', () => {
  for (const policy of ['SCHED_RR', 'SCHED_NONE']) {
    it(`serves from two processes on one port: ${policy}`, async () => {
      const ended = await runScript(
        `
        const { default: cluster } = await import('node:cluster');
        const file = os.tmpdir() + '/ktls-cluster-' + process.pid + '.mjs';
        fs.writeFileSync(file, given.prelude + \`
          const listener = server();
          listener.on('secureConnection', (socket) => {
            socket.end([process.pid, socket.offload.offloaded].join(' '));
            socket.resume();
          });
          listener.listen(0, '127.0.0.1');
        \`);
        cluster.schedulingPolicy = cluster[given.policy];
        cluster.setupPrimary({ exec: file, execArgv: [] });
        const workers = [cluster.fork(), cluster.fork()];
        const addresses = await Promise.all(workers.map((worker) => once(worker, 'listening')));
        fs.unlinkSync(file);
        const ask = async () => {
          const client = connect(addresses[0][0].port);
          let text = '';
          for await (const data of client) text += data;
          return text.split(' ');
        };
        const answers = [];
        for (let i = 0; i < 8; i++) answers.push(await ask());
        const pids = new Set(workers.map((worker) => String(worker.process.pid)));
        say('offloaded', answers.every(([, offloaded]) => offloaded === 'true'));
        say('ours', answers.every(([pid]) => pids.has(pid)));
        say('served', given.policy === 'SCHED_NONE' || new Set(answers.map(([pid]) => pid)).size);
        cluster.disconnect();
        say('exit', (await Promise.all(workers.map((worker) => once(worker, 'exit')))).join(' '));
        `,
        { given: { policy } },
      );
      expect(ended).toMatchObject(clean);
      const served = policy === 'SCHED_NONE' ? 'true' : '2';
      expect(ended.stdout).toBe(`offloaded true\nours true\nserved ${served}\nexit 0, 0,\n`);
    });
  }
});
