/** nginx with one process, its TLS in user space or with OpenSSL's kernel TLS. */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../ports.js';
import { type PeerSettings, type RunningPeer, listening } from './peer.js';

/** @returns the process, which listens */
export async function startNginx(settings: PeerSettings): Promise<RunningPeer> {
  const port = await freePort();
  const home = join(settings.folder, 'nginx');
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'key.pem'), settings.tls.key);
  writeFileSync(join(home, 'cert.pem'), settings.tls.cert);
  writeFileSync(join(home, 'nginx.conf'), configuration(settings, home, port));
  const args = ['-p', home, '-c', 'nginx.conf', '-e', 'error.log'];
  return listening(spawn('nginx', args, { stdio: ['ignore', 'ignore', 'inherit'] }), port);
}

function configuration({ tls, kernelTls, folder }: PeerSettings, home: string, port: number) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const cipher =
    tls.version === 'TLSv1.3'
      ? `ssl_conf_command Ciphersuites ${tls.cipher};`
      : `ssl_ciphers ${tls.cipher};`;
  return `
daemon off;
master_process off;
pid ${home}/nginx.pid;
events { worker_connections 16384; }
http {
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  ${temporary.map((name) => `${name}_temp_path ${home}/${name};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port} ssl;
    root ${folder};
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    ssl_protocols ${tls.version};
    ${cipher}
    ${kernelTls ? 'ssl_conf_command Options KTLS;' : ''}
  }
}
`;
}
