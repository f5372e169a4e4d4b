import { constants } from 'node:os';
import { expect, it } from 'vitest';
import type { NativeBinding } from '../../../lib/kernel/binding.js';
import type { OpenFile } from '../../../lib/socket/file-source.js';
import { FileTransfer } from '../../../lib/socket/file-transfer.js';

it('ends with what waiting for room throws', () => {
  const binding = {
    isCached: () => true,
    sendFileNow: () => -constants.errno.EAGAIN,
  } as unknown as NativeBinding;
  const file = { fd: 0, start: 0, length: 10, local: true, sized: true } as OpenFile;
  const shortage = new Error('no descriptor for a watch');
  const ends: unknown[] = [];
  const sink = { progress: () => undefined, done: (error: Error | null) => ends.push(error) };
  const transfer = new FileTransfer(
    binding,
    () => 1,
    file,
    10,
    sink,
    () => {
      throw shortage;
    },
  );
  transfer.start();
  expect(ends).toEqual([shortage]);
});
