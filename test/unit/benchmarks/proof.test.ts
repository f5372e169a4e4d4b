import { describe, expect, it } from 'vitest';
import { difference, lesser, requireProof } from '../../../benchmarks/proof.js';

const counts = (tx: number, rx: number) => ({ tx, rx });
const made = (tx: number, rx: number) => ({ offloaded: counts(tx, rx), evidence: 'made' }) as const;
const refusal = expect.objectContaining({ code: 'ERR_KTLS_BENCH_NOT_PROVED' }) as Error;

describe('the proof of offload', () => {
  it('is that every measured connection was under kernel TLS both ways', () => {
    expect(() => requireProof('ktls', 4, made(4, 4), counts(19, 19))).not.toThrow();
  });

  it("is not given by the warm-up's connections", () => {
    expect(() => requireProof('ktls', 4, made(3, 4), counts(18, 19))).toThrow(refusal);
    expect(() => requireProof('ktls.connect', 1, made(0, 0), counts(1, 1))).toThrow(refusal);
  });

  it('is not given where no connection was measured', () => {
    expect(() => requireProof('ktls', 0, made(0, 0), counts(1, 1))).toThrow(refusal);
  });

  it('is asked only of the directions that the driver has the kernel do', () => {
    expect(() => requireProof('nginx-ktls', 4, made(4, 0), counts(4, 0))).not.toThrow();
  });

  it('of user space is that nothing at all was under kernel TLS, warm-up included', () => {
    expect(() => requireProof('https', 4, made(0, 0), counts(0, 0))).not.toThrow();
    expect(() => requireProof('https', 4, made(0, 0), counts(1, 0))).toThrow(refusal);
  });

  it('takes of two looks what both saw', () => {
    expect(lesser(counts(1, 0), counts(0, 1))).toEqual(counts(0, 0));
    expect(difference(counts(5, 6), counts(1, 1))).toEqual(counts(4, 5));
  });
});
