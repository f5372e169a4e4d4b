/** Which kernels the scripts run on: `KTLS_KERNELS`, names by commas. */
import { type KernelName, isKernelName } from '../vm/kernels.js';

export interface WantedKernel {
  readonly kernel: KernelName;
  /** A major or a version, behind an `@` (`trixie@24`); else this process's. */
  readonly node: string | undefined;
}

/**
 * @returns none if `KTLS_KERNELS` names none
 * @throws Error if it names one that there is not
 */
export function wantedKernels(): WantedKernel[] {
  const names = process.env['KTLS_KERNELS']?.split(',').filter(Boolean) ?? [];
  return names.map((name) => {
    const [kernel = '', node] = name.split('@');
    if (!isKernelName(kernel)) throw new Error(`KTLS_KERNELS: no kernel is called '${kernel}'`);
    return { kernel, node };
  });
}

/**
 * For what runs with this process's Node, or chooses it otherwise.
 *
 * @param usual - If `KTLS_KERNELS` names none.
 */
export function wantedOr(usual: readonly KernelName[]): readonly KernelName[] {
  const wanted = wantedKernels();
  if (wanted.some(({ node }) => node !== undefined)) {
    throw new Error('KTLS_KERNELS: another Node is for npm test only');
  }
  return wanted.length > 0 ? wanted.map(({ kernel }) => kernel) : usual;
}
