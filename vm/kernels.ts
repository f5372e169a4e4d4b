/** Where a kernel comes from: the suites whose newest `linux-image-cloud-amd64` is taken. */
export interface KernelSource {
  /** What the suites held on 2026-11-23; the newest of them is taken, whatever it is by then. */
  readonly seen: string;
  readonly suites: readonly string[];
}

/**
 * Every kernel the harness boots. Debian's cloud kernels: small, with tls.ko and virtiofs, and
 * TLS_DEVICE=y.
 */
export const kernels = {
  bookworm: { seen: '6.1.192', suites: ['bookworm', 'bookworm-security'] },
  trixie: { seen: '6.12.117', suites: ['trixie', 'trixie-security'] },
  'trixie-backports': { seen: '7.3.4', suites: ['trixie-backports'] },
} as const satisfies Record<string, KernelSource>;

export type KernelName = keyof typeof kernels;

/** The metapackage whose dependency names the newest kernel of a suite. */
export const kernelMetapackage = 'linux-image-cloud-amd64';

/** Narrows a user's word to a kernel's name. */
export function isKernelName(name: string): name is KernelName {
  return Object.hasOwn(kernels, name);
}
