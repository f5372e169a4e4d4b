/** Requests behind a file that its client does not take: they are not read without end. */
import { once } from 'node:events';
import * as http from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import * as tls from 'node:tls';
import { afterAll, describe, expect, it } from 'vitest';
import { serve } from '../support/https.js';
import { type Tally, counted, flood, handlers } from '../support/pipelining.js';
import { Scratch } from '../support/scratch.js';

const scratch = new Scratch();
afterAll(() => scratch.remove());

for (const [name, handlerOf] of Object.entries(handlers)) {
  describe(`${name}, to a client that pipelines and reads nothing`, () => {
    it('over plain HTTP', { timeout: 20_000 }, async () => {
      const tally: Tally = { asked: 0, answered: 0 };
      const server = http.createServer(counted(handlerOf(scratch), tally));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      await flood(connect((server.address() as AddressInfo).port, '127.0.0.1'), tally);
      server.close();
    });

    it('over node:tls', { timeout: 20_000 }, async () => {
      const tally: Tally = { asked: 0, answered: 0 };
      await using serving = await serve(counted(handlerOf(scratch), tally), { side: 'node' });
      const client = tls.connect({ port: serving.port, rejectUnauthorized: false });
      await once(client, 'secureConnect');
      await flood(client, tally);
      expect(serving.accepted).toHaveLength(1);
    });
  });
}
