/**
 * Known holes of net/tls, and of drivers where they do its work, that kernels since 5.10 have had. The
 * versions are those of the CVE record where the kernel's own people wrote it, else those whose Debian
 * changelog has the fix (so at the latest those).
 */

/** A line of long-lived kernels that this table follows. */
export type Line = '5.10' | '6.1' | '6.12';

export interface Hole {
  readonly id: string;
  readonly what: string;
  /** The mainline release that has the fix. */
  readonly mainline: readonly [number, number];
  /** The patch level of a line that has the fix; 0: the line never had the hole. */
  readonly fixed: Readonly<Partial<Record<Line, number>>>;
}

export const holes: readonly Hole[] = [
  hole('CVE-2021-47131', 'use after free when a network card goes down and up', [5, 13], {
    '5.10': 43,
  }),
  hole('CVE-2021-47496', 'flipped sign of asynchronous errors', [5, 15], { '5.10': 77 }),
  hole('CVE-2023-0461', 'double free when a socket under TLS listens', [6, 2], {
    '5.10': 178,
    '6.1': 7,
  }),
  hole('CVE-2023-1075', 'type confusion on an empty list of records', [6, 2], { '6.1': 11 }),
  hole('CVE-2023-28466', 'race between getsockopt and setsockopt', [6, 3], {
    '5.10': 178,
    '6.1': 20,
  }),
  hole('CVE-2023-54306', 'senders that hang for a peer with no window (remote)', [6, 3], {
    '5.10': 173,
    '6.1': 18,
  }),
  hole('CVE-2023-6176', 'record freed during asynchronous encryption', [6, 6], { '6.1': 55 }),
  hole('CVE-2023-52767', 'splice that ends on an empty record', [6, 7], { '6.1': 82 }),
  hole('CVE-2024-0646', 'splice past the end of a record', [6, 7], { '5.10': 209, '6.1': 69 }),
  hole('CVE-2024-35841', 'splice of more pages than a record has room for', [6, 8], {
    '5.10': 0,
    '6.1': 0,
  }),
  hole('CVE-2024-58239', 'records of different types merged', [6, 8], { '5.10': 211, '6.1': 80 }),
  hole('CVE-2024-26582', 'use after free in partial reads with asynchronous decryption', [6, 8], {
    '6.1': 82,
  }),
  hole('CVE-2024-26583', 'race between asynchronous notification and close', [6, 8], {
    '6.1': 82,
  }),
  hole('CVE-2024-26584', 'a busy cryptographic queue taken for an error', [6, 8], { '6.1': 85 }),
  hole('CVE-2024-26585', 'race between scheduled sending and close', [6, 8], { '6.1': 85 }),
  hole('CVE-2024-58240', 'synchronous decryption counted as asynchronous', [6, 8], {
    '6.1': 149,
  }),
  hole('CVE-2024-26800', 'use after free when decryption from the backlog fails', [6, 9], {
    '6.1': 85,
  }),
  hole('CVE-2024-35908', 'memory held back by interrupted reads', [6, 9], { '5.10': 0, '6.1': 85 }),
  hole('CVE-2024-36489', 'missing memory barrier when the layer is attached', [6, 10], {
    '5.10': 221,
    '6.1': 94,
  }),
  hole('CVE-2024-53138', 'mlx5: pages of files released too often', [6, 12], {
    '5.10': 231,
    '6.1': 119,
  }),
  hole('CVE-2025-37756', 'disconnecting a socket under TLS', [6, 15], {
    '5.10': 237,
    '6.1': 135,
    '6.12': 25,
  }),
  hole('CVE-2025-38018', 'panic when memory runs out while receiving', [6, 15], {
    '5.10': 0,
    '6.1': 140,
    '6.12': 30,
  }),
  hole('CVE-2025-38166', 'panic with a BPF program that holds data back (sockmap)', [6, 16], {
    '6.1': 142,
    '6.12': 34,
  }),
  hole('CVE-2025-38471', 'stale view of the receive queue', [6, 16], { '6.1': 147, '6.12': 41 }),
  hole('CVE-2025-38608', 'data corrupted when a BPF program takes some away (sockmap)', [6, 17], {
    '5.10': 241,
    '6.1': 148,
    '6.12': 42,
  }),
  hole('CVE-2025-38616', 'data that disappears from under the layer', [6, 17], {
    '6.1': 187,
    '6.12': 43,
  }),
  hole('CVE-2025-39682', 'empty records on the list of received ones', [6, 17], {
    '6.1': 153,
    '6.12': 48,
  }),
  hole('CVE-2025-39946', 'bogus record headers from the peer (remote)', [6, 17], {
    '6.1': 158,
    '6.12': 57,
  }),
  hole('CVE-2025-40149', 'use after free of a network device', [6, 18], {
    '6.1': 162,
    '6.12': 69,
  }),
  hole('CVE-2025-40176', 'use after free when memory runs out while decrypting', [6, 18], {
    '5.10': 0,
    '6.1': 158,
    '6.12': 55,
  }),
  hole('CVE-2026-23240', 'race when sending is cancelled at close', [7, 0], { '6.12': 75 }),
  hole('CVE-2026-23414', 'memory held back by asynchronous decryption', [7, 0], {
    '5.10': 0,
    '6.1': 168,
    '6.12': 80,
  }),
  hole('CVE-2026-31533', 'use after free when the cryptographic queue is busy', [7, 0], {
    '5.10': 0,
    '6.1': 169,
    '6.12': 82,
  }),
  hole('CVE-2026-52974', 'memory lost when a network card refuses a connection', [7, 1], {
    '5.10': 0,
    '6.1': 175,
    '6.12': 91,
  }),
  hole('CVE-2026-64025', 'race of a BPF verdict with receiving (sockmap)', [7, 1], {
    '6.1': 192,
    '6.12': 92,
  }),
  hole('CVE-2026-64046', 'a link behind a link in the list of what is encrypted', [7, 1], {
    '5.10': 258,
    '6.1': 175,
    '6.12': 92,
  }),
  hole('CVE-2026-64047', 'a link in the wrong place in the list of what is encrypted', [7, 1], {
    '5.10': 258,
    '6.1': 175,
    '6.12': 92,
  }),
  hole('CVE-2026-74611', 'retry after padding with TLS_RX_EXPECT_NO_PAD', [7, 2], {
    '5.10': 0,
    '6.1': 192,
    '6.12': 115,
  }),
  hole('CVE-2026-93824', 'TLS on a socket in a sockmap', [7, 2], { '6.1': 190, '6.12': 111 }),
];

function hole(id: string, what: string, mainline: Hole['mainline'], fixed: Hole['fixed']): Hole {
  return { id, what, mainline, fixed };
}
