import { VmError } from './errors.js';

/**
 * Reads what came over the verdict port: exactly one line, `exit <status>` from the command or
 * `fail <why>` from the guest's set-up (vm/guest/init, vm/guest/session).
 * @returns the command's exit status, 0 to 255
 * @throws VmError ERR_KTLS_VM_GUEST, ERR_KTLS_VM_NO_VERDICT, ERR_KTLS_VM_BAD_VERDICT
 */
export function parseVerdict(text: string): number {
  if (text === '') {
    throw new VmError('ERR_KTLS_VM_NO_VERDICT', 'the guest ended without a verdict');
  }
  const failure = /^fail (.*)\n$/.exec(text);
  if (failure) throw new VmError('ERR_KTLS_VM_GUEST', `the guest cannot be set up: ${failure[1]!}`);
  const status = /^exit (\d{1,3})\n$/.exec(text);
  if (!status) {
    const lines = text.split('\n').filter((line) => line !== '').length;
    const what = lines > 1 ? `${lines} verdicts` : 'an unreadable verdict';
    throw new VmError('ERR_KTLS_VM_BAD_VERDICT', `the guest gave ${what}: ${JSON.stringify(text)}`);
  }
  return Number(status[1]);
}
