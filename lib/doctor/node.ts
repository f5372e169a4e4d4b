/** Node itself: why this package is needed, and whether it is whole. */
import { type Finding, fail, info, pass, warn } from './finding.js';
import { type System } from './system.js';

export function checkNode(system: System): Finding[] {
  const { node, openssl, sharedOpenssl, addonError, fips, platform } = system.process;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const recent = major > 20 || (major === 20 && minor >= 19);
  return [
    recent
      ? pass('node.version', 'Node', `${node}.`)
      : fail('node.version', 'Node', `${node} is older than 20.19.`, 'install a newer Node'),
    info(
      'node.openssl',
      "Node's OpenSSL",
      sharedOpenssl
        ? `${openssl}, the system's. Its SSL_OP_ENABLE_KTLS cannot work here even so: Node gives OpenSSL memory buffers and not the socket.`
        : `${openssl}, built with OPENSSL_NO_KTLS: SSL_OP_ENABLE_KTLS does nothing in it, and Node gives OpenSSL memory buffers and not the socket.`,
    ),
    addonOf(platform, addonError),
    fips
      ? warn(
          'node.fips',
          'FIPS',
          "Data is encrypted by the kernel and not by OpenSSL's validated module.",
          "ktls.connect({ mode: 'off' }) # where that matters",
        )
      : pass('node.fips', 'FIPS', 'It is not switched on.'),
  ];
}

function addonOf(platform: string, error: string | null): Finding {
  if (platform !== 'linux') {
    return fail('node.addon', 'Native addon', `Kernel TLS is on Linux only; this is ${platform}.`);
  }
  return error === null
    ? pass('node.addon', 'Native addon', 'It loads.')
    : fail(
        'node.addon',
        'Native addon',
        `It does not load: ${error.split('\n')[0]!}`,
        'npm rebuild ktls',
      );
}
