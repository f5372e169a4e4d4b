/** Why figures are refused. */
export type BenchErrorCode =
  /** Figures of two revisions would stand in one result that was not said to hold several. */
  | 'ERR_KTLS_BENCH_REVISION'
  /** Figures of two machines, or of two TLS settings. */
  | 'ERR_KTLS_BENCH_MACHINE'
  /** A connection was not carried as its driver's name says. */
  | 'ERR_KTLS_BENCH_NOT_PROVED';

/** Figures that would say what they do not show. */
export class BenchError extends Error {
  readonly code: BenchErrorCode;

  constructor(code: BenchErrorCode, message: string) {
    super(message);
    this.name = 'BenchError';
    this.code = code;
  }
}
