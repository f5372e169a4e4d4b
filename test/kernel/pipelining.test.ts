/** Requests behind a file that its client does not take: they are not read without end. */
import { afterAll, expect, it } from 'vitest';
import { OffloadedSocket } from '../../lib/index.js';
import { rawClient, serve } from '../support/https.js';
import { describeKernel } from '../support/kernel.js';
import { type Tally, counted, flood, handlers } from '../support/pipelining.js';
import { Scratch } from '../support/scratch.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());

describeKernel('to a client that pipelines and reads nothing', () => {
  for (const [name, handlerOf] of Object.entries(handlers)) {
    it(`${name} stops reading, and goes on with it`, { timeout: 60_000 }, async () => {
      const tally: Tally = { asked: 0, answered: 0 };
      await using serving = await serve(counted(handlerOf(scratch), tally));
      await flood(await rawClient(serving.port), tally);
      expect(serving.accepted[0]).toBeInstanceOf(OffloadedSocket);
    });
  }
});
