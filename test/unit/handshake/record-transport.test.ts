import { constants } from 'node:os';
import { setImmediate as immediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { RecordTransport } from '../../../lib/handshake/record-transport.js';
import { type Channel, Ready } from '../../../lib/kernel/binding.js';

const RECORDS = 100;

it('lets others have their turn in a flood of records, and rests behind it', async () => {
  let [read, turns, rested] = [0, 0, 0];
  const readRecord = (): Buffer | number =>
    read < RECORDS ? Buffer.from([++read]) : -constants.errno.EAGAIN;
  const transport = new RecordTransport(
    {
      received: () => true,
      sent: () => undefined,
      mayReceive: () => true,
      rested: () => {
        rested++;
        expect(read).toBe(RECORDS);
      },
      shutdown: (callback) => callback(),
    },
    false,
  );
  const received: number[] = [];
  transport.on('data', (record: Buffer) => received.push(...record));
  // It is asked to read by then.
  await immediate();
  transport.attach({ readRecord } as unknown as Channel);
  while (read < RECORDS) {
    expect(read).toBeLessThanOrEqual(++turns * 32);
    // That more has come makes nobody's turn longer.
    transport.ready(Ready.READ);
    await immediate();
  }
  await immediate();
  expect(turns).toBeGreaterThan(2);
  expect(received).toEqual(Array.from({ length: RECORDS }, (_, i) => i + 1));
  expect(rested).toBe(1);
  transport.destroy();
});
