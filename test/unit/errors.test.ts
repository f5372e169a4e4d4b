import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KtlsError, errnoError, invalidArgument, messages } from '../../lib/errors.js';

describe('errors', () => {
  it('has a heading in docs/errors.md for every code, and no others', () => {
    const text = readFileSync('docs/errors.md', 'utf8');
    const headings = [...text.matchAll(/^### (ERR_KTLS_\w+)$/gm)].map(([, code]) => code);
    expect(headings.toSorted()).toEqual(Object.keys(messages).toSorted());
  });

  it('gives a system call failure the properties Node gives it', () => {
    expect(errnoError(-2, 'setsockopt')).toMatchObject({
      message: 'setsockopt ENOENT',
      code: 'ENOENT',
      errno: -2,
      syscall: 'setsockopt',
    });
  });

  it('carries errno and syscall of its cause', () => {
    const cause = errnoError(-22, 'setsockopt');
    const error = new KtlsError('ERR_KTLS_INSTALL', 'TLS_RX', cause);
    expect(error).toMatchObject({
      code: 'ERR_KTLS_INSTALL',
      errno: -22,
      syscall: 'setsockopt',
      cause,
    });
    expect(error.message).toBe(`${messages.ERR_KTLS_INSTALL}: TLS_RX`);
  });

  it('leaves them out where no system call failed', () => {
    expect(new KtlsError('ERR_KTLS_OFF')).not.toHaveProperty('errno');
  });

  it('names a wrong argument as Node does', () => {
    const error = invalidArgument("option 'mode'", 'must be right', 'wrong');
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    expect(error.message).toBe("The option 'mode' must be right. Received 'wrong'");
  });
});
