/** `openssl s_server` serving files over HTTP/1.0, with TLS in user space or with OpenSSL's kernel TLS. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../ports.js';
import { type PeerSettings, type RunningPeer, listening } from './peer.js';

/** @returns the process, which listens */
export async function startOpenssl({ tls, kernelTls, folder }: PeerSettings): Promise<RunningPeer> {
  const port = await freePort();
  const [key, cert] = [join(folder, 's_server-key.pem'), join(folder, 's_server-cert.pem')];
  writeFileSync(key, tls.key);
  writeFileSync(cert, tls.cert);
  const cipher =
    tls.version === 'TLSv1.3'
      ? ['-tls1_3', '-ciphersuites', tls.cipher]
      : ['-tls1_2', '-cipher', tls.cipher];
  const args = ['s_server', '-accept', `127.0.0.1:${port}`, '-key', key, '-cert', cert, ...cipher];
  const child = spawn('openssl', [...args, '-WWW', ...(kernelTls ? ['-sendfile'] : [])], {
    cwd: folder,
    env: kernelTls ? { ...process.env, OPENSSL_CONF: configuration(folder) } : process.env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return listening(child, port);
}

/** The option `-ktls` came with OpenSSL 3.2; the setting is as old as 3.0. */
function configuration(folder: string): string {
  const path = join(folder, 'openssl.cnf');
  const lines = [
    ...['openssl_conf = init', '[init]', 'ssl_conf = ssl'],
    ...['[ssl]', 'system_default = kernel', '[kernel]', 'Options = KTLS', ''],
  ];
  writeFileSync(path, lines.join('\n'));
  return path;
}
