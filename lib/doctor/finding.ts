/** What a check finds. */

/**
 * `pass`: as it should be. `info`: a fact without a judgement. `warn`: kernel TLS works, and less well than
 * it could. `fail`: it does not work, or is not safe.
 */
export type Verdict = 'pass' | 'info' | 'warn' | 'fail';

export interface Finding {
  /** `topic.subject`; the same in every release, for programs to look for. */
  readonly check: string;
  readonly verdict: Verdict;
  readonly title: string;
  /** One sentence. */
  readonly why: string;
  /** The command that mends it, to be run as root unless it says otherwise; `null`: nothing to do. */
  readonly fix: string | null;
}

export interface Section {
  readonly name: string;
  readonly findings: readonly Finding[];
}

type Make = (check: string, title: string, why: string, fix?: string) => Finding;
const maker =
  (verdict: Verdict): Make =>
  (check, title, why, fix) => ({ check, verdict, title, why, fix: fix ?? null });

export const pass = maker('pass');
export const info = maker('info');
export const warn = maker('warn');
export const fail = maker('fail');
