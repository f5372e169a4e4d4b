/** What the VM harness makes of a guest's last words: the command's status, or an error that says why not. */
import { expect, it } from 'vitest';
import { parseVerdict } from '../../../vm/verdict.js';

it.each([0, 1, 7, 137, 255])('passes the exit status %i through', (status) => {
  expect(parseVerdict(`exit ${status}\n`)).toBe(status);
});

it.each([
  ['nothing', '', 'ERR_KTLS_VM_NO_VERDICT', 'without a verdict'],
  ['a set-up that failed', 'fail no share\n', 'ERR_KTLS_VM_GUEST', 'no share'],
  ['a line that is cut', 'exit 0', 'ERR_KTLS_VM_BAD_VERDICT', 'unreadable'],
  ['two lines', 'exit 0\nexit 0\n', 'ERR_KTLS_VM_BAD_VERDICT', '2 verdicts'],
  ['what the command printed', 'hello\nexit 0\n', 'ERR_KTLS_VM_BAD_VERDICT', '2 verdicts'],
  ['a status that is no number', 'exit x\n', 'ERR_KTLS_VM_BAD_VERDICT', 'unreadable'],
])('takes %s for a failure', (_what, text, code, words) => {
  expect(() => parseVerdict(text)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(words) as string }) as Error,
  );
});
