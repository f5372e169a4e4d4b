import { constants, release } from 'node:os';
import { expect, it } from 'vitest';
import { ulpRefusal } from '../../../lib/kernel/ulp-refusal.js';

const { EACCES, EEXIST, ENOENT, ENOMEM, ENOPROTOOPT, ENOSYS, ENOTCONN, EPERM } = constants.errno;

it.each([
  ['ENOENT', ENOENT, true, 'ERR_KTLS_MODULE', /modprobe tls/],
  // A container does not see its host's modules.
  ['ENOENT', ENOENT, null, 'ERR_KTLS_MODULE', /modprobe tls/],
  ['ENOENT', ENOENT, false, 'ERR_KTLS_KERNEL', release()],
  // Before Linux 4.13.
  ['ENOPROTOOPT', ENOPROTOOPT, true, 'ERR_KTLS_KERNEL', release()],
  ['EPERM', EPERM, true, 'ERR_KTLS_SANDBOX', /sandbox/],
  ['EACCES', EACCES, true, 'ERR_KTLS_SANDBOX', /sandbox/],
  ['ENOSYS', ENOSYS, true, 'ERR_KTLS_SANDBOX', /sandbox/],
  ['ENOMEM', ENOMEM, true, 'ERR_KTLS_RESOURCES', /ENOMEM/],
  ['ENOTCONN', ENOTCONN, true, 'ERR_KTLS_ULP', /ENOTCONN/],
  ['EEXIST', EEXIST, true, 'ERR_KTLS_ULP', /EEXIST/],
] as const)('%s of TCP_ULP (%i, built with TLS: %s) is %s', (_name, errno, has, code, message) => {
  const error = ulpRefusal(-errno, () => has);
  expect(error).toMatchObject({ code, errno: -errno, syscall: 'setsockopt' });
  expect(error.message).toMatch(message);
});
