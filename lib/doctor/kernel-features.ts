/** What this kernel's TLS can do, by trying it. Versions only explain. */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { cipherSuites } from '../tls/cipher-suites.js';
import { ProtocolVersion } from '../tls/constants.js';
import { type Finding, fail, info, pass, warn } from './finding.js';
import { type System } from './system.js';

/** How to mend each refusal of the probe. */
const remedies: Readonly<Record<string, string>> = {
  ERR_KTLS_NO_ADDON: 'npm rebuild ktls',
  ERR_KTLS_MODULE: 'modprobe tls',
  ERR_KTLS_KERNEL: "boot a distribution's own kernel",
};

export function checkKernelFeatures(system: System): Finding[] {
  const { available, reason, ciphers } = system.probe();
  if (!available) {
    const code = reason?.code ?? 'ERR_KTLS_KERNEL';
    return [
      fail(
        'kernel.tls',
        'Kernel TLS',
        `${reason?.message ?? 'The kernel refuses'} (${code}); connections stay with node:tls.`,
        remedies[code],
      ),
    ];
  }
  const findings = [
    pass('kernel.tls', 'Kernel TLS', `Linux ${system.process.release} encrypts and decrypts.`),
  ];
  for (const [name, version, since] of [
    ['TLS 1.2', ProtocolVersion.TLS12, '4.13 sending, 4.17 receiving'],
    ['TLS 1.3', ProtocolVersion.TLS13, '5.1'],
  ] as const) {
    const check = version === ProtocolVersion.TLS12 ? 'kernel.tls12' : 'kernel.tls13';
    const tried = ciphers.filter((each) => each.version === version);
    const works = names(tried.filter(({ tx, rx }) => tx === 0 && rx === 0));
    const half = names(tried.filter(({ tx, rx }) => (tx === 0) !== (rx === 0)));
    if (works.length === 0) {
      findings.push(warn(check, name, `No cipher works; it is in Linux ${since} and later.`));
      continue;
    }
    const remark = half.length > 0 ? ` Only one direction: ${half.join(', ')}.` : '';
    findings.push(pass(check, name, `Both directions: ${works.join(', ')}.${remark}`));
  }
  const chacha = ciphers.some(({ cipher, tx, rx }) => cipher === 54 && tx === 0 && rx === 0);
  findings.push(
    chacha
      ? pass('kernel.chacha20', 'ChaCha20-Poly1305', 'Clients without AES instructions choose it.')
      : warn(
          'kernel.chacha20',
          'ChaCha20-Poly1305',
          'The kernel does not take it (Linux 5.16 and later do, with the module).',
          'modprobe chacha20poly1305',
        ),
  );
  return [...findings, ...checkOptions(system)];
}

/** The AEADs' names, each once. */
function names(support: readonly { version: number; cipher: number }[]): string[] {
  const of = (version: number, cipher: number): string =>
    cipherSuites.find((suite) => suite.version === version && suite.kernelCipher === cipher)
      ?.algorithm ?? String(cipher);
  return [...new Set(support.map(({ version, cipher }) => of(version, cipher)))];
}

function checkOptions(system: System): Finding[] {
  const { zeroCopy, noPad, maxPayload, rekey } = system.features();
  const option = (
    check: string,
    title: string,
    result: number,
    has: string,
    lacks: string,
  ): Finding =>
    result === 0
      ? pass(check, title, has)
      : info(check, title, `${lacks} (the kernel answers ${getSystemErrorName(result)}).`);
  return [
    option(
      'kernel.zero-copy',
      'Zero-copy sendfile',
      zeroCopy,
      'The kernel has TLS_TX_ZEROCOPY_RO; it acts only where a device encrypts.',
      'Linux 5.19 and later have TLS_TX_ZEROCOPY_RO',
    ),
    option(
      'kernel.no-pad',
      'Reading without padding',
      noPad,
      'The kernel has TLS_RX_EXPECT_NO_PAD, and reads padded records all the same.',
      noPad === -constants.errno.EBADMSG
        ? 'With TLS_RX_EXPECT_NO_PAD this kernel takes padding for data (CVE-2026-74611), so it is never set'
        : 'Linux 6.0 and later have TLS_RX_EXPECT_NO_PAD',
    ),
    option(
      'kernel.rekey',
      'Key updates',
      rekey,
      'The kernel takes new keys on a running TLS 1.3 connection.',
      'Linux 6.14 and later take new keys; before, a TLS 1.3 KeyUpdate ends the connection',
    ),
    option(
      'kernel.max-payload',
      'Shorter records',
      maxPayload,
      'The kernel has TLS_TX_MAX_PAYLOAD_LEN.',
      'Linux 6.19 and later have TLS_TX_MAX_PAYLOAD_LEN; before, a peer with max_fragment_length stays with node:tls',
    ),
  ];
}
