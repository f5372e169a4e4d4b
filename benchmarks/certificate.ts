import { execFileSync } from 'node:child_process';

/** A certificate for `localhost` that nobody needs to trust, and its key, as PEM. */
export function certificate(): { key: string; cert: string } {
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', '/CN=localhost', '-days', '30', '-keyout', '-', '-out', '-'];
  const pem = execFileSync('openssl', ['req', ...kind, ...subject], { stdio: 'pipe' }).toString();
  const at = pem.indexOf('-----BEGIN CERTIFICATE');
  return { key: pem.slice(0, at), cert: pem.slice(at) };
}
