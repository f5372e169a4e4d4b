/**
 * Known holes of net/tls that the running kernel may have. Fixed versions of 6.1 and 6.12 are those whose
 * Debian changelog has the fix (so at the latest those). Where the number proves nothing (another line of
 * stable kernels, a distribution that puts fixes into older numbers) the answer says so.
 */
import { type Finding, info, pass, warn } from './finding.js';
import { kernelConfig } from './kernel-config.js';
import { type System, type Version, kernelVersion } from './system.js';

interface Hole {
  readonly id: string;
  readonly what: string;
  /** The patch level that has the fix, of the lines that this table follows. */
  readonly fixed: { readonly '6.1'?: number; readonly '6.12'?: number };
  /** The mainline release that has the fix, at the latest. */
  readonly mainline: readonly [number, number];
}

const holes: readonly Hole[] = [
  hole('CVE-2023-28466', 'race between getsockopt and setsockopt', [6, 3], 20),
  hole(
    'CVE-2024-26582',
    'use after free in partial reads with asynchronous decryption',
    [6, 8],
    82,
  ),
  hole('CVE-2024-26583', 'race between asynchronous notification and close', [6, 8], 82),
  hole('CVE-2024-26584', 'a busy cryptographic queue taken for an error', [6, 8], 85),
  hole('CVE-2024-26585', 'race between scheduled sending and close', [6, 8], 85),
  hole('CVE-2024-26800', 'use after free when decryption from the backlog fails', [6, 9], 85),
  hole('CVE-2024-36489', 'missing memory barrier when the layer is attached', [6, 10], 94),
  hole('CVE-2025-37756', 'disconnecting a socket under TLS', [6, 15], 135, 25),
  hole('CVE-2025-38471', 'stale view of the receive queue', [6, 16], 147, 41),
  hole('CVE-2025-38616', 'data that disappears from under the layer', [6, 17], 187, 43),
  hole('CVE-2025-39682', 'empty records on the list of received ones', [6, 17], 153, 48),
  hole('CVE-2025-39946', 'bogus record headers from the peer (remote)', [6, 17], 158, 57),
  hole('CVE-2025-40149', 'use after free of a network device', [6, 18], 162, 69),
  hole('CVE-2026-23240', 'race when sending is cancelled at close', [7, 3], undefined, 85),
  hole('CVE-2026-23414', 'memory held back by asynchronous decryption', [7, 3], 170, 85),
  hole('CVE-2026-64025', 'race of a BPF verdict with receiving (sockmap)', [7, 3], 192, 94),
  hole('CVE-2026-74611', 'retry after padding with TLS_RX_EXPECT_NO_PAD', [7, 3], 192, 115),
  hole('CVE-2026-93824', 'TLS on a socket in a sockmap', [7, 3], 190, 111),
];

function hole(
  id: string,
  what: string,
  mainline: readonly [number, number],
  in61?: number,
  in612?: number,
): Hole {
  return {
    id,
    what,
    mainline,
    fixed: {
      ...(in61 === undefined ? {} : { '6.1': in61 }),
      ...(in612 === undefined ? {} : { '6.12': in612 }),
    },
  };
}

/** Kernels whose version is that of kernel.org's stable releases. */
function hasStableVersion(system: System): boolean {
  const text = system.read('/proc/version') ?? '';
  return !/Ubuntu|Red Hat|\.el\d|SUSE|amzn|Oracle/i.test(text + system.process.release);
}

export function checkKernelBugs(system: System): Finding[] {
  const check = 'bugs.cve';
  const title = 'Known holes in net/tls';
  const version = kernelVersion(system);
  if (version[0] === 0 || kernelConfig(system)?.('CONFIG_TLS') === 'n') return [];
  const shown = version.join('.');
  const open = holes.filter((each) => isFixed(each, version) === 'no');
  const unknown = holes.filter((each) => isFixed(each, version) === 'unknown');
  const names = (list: readonly Hole[]): string =>
    list.map(({ id, what }) => `${id} (${what})`).join('; ');
  if (open.length + unknown.length === 0) {
    return [pass(check, title, `None of the ${holes.length} listed ones is in ${shown}.`)];
  }
  if (open.length === 0 || !hasStableVersion(system)) {
    return [
      info(
        check,
        title,
        `The number ${shown} does not tell whether it has the fixes of these; its distributor's security tracker does: ${names([...open, ...unknown])}.`,
      ),
    ];
  }
  return [
    warn(
      check,
      title,
      `${shown} is older than the fixes of ${open.length}: ${names(open)}.`,
      'apt-get update && apt-get dist-upgrade # and reboot; or what your distribution has instead',
    ),
  ];
}

type Fixed = 'yes' | 'no' | 'unknown';

function isFixed({ fixed, mainline }: Hole, [major, minor, patch]: Version): Fixed {
  if (major > mainline[0] || (major === mainline[0] && minor >= mainline[1])) return 'yes';
  const line = fixed[`${major}.${minor}` as keyof typeof fixed];
  if (line === undefined) return 'unknown';
  return patch >= line ? 'yes' : 'no';
}
