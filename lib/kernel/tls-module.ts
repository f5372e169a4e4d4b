/** Where the kernel has its TLS: files that everybody may read. */
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';

/**
 * `built-in`: part of the kernel; `loaded`; `loadable`: a module that is there and not loaded, by
 * `modprobe tls` as root; `absent`: the kernel was built without.
 */
export type TlsModule = 'built-in' | 'loaded' | 'loadable' | 'absent';

/** What is looked into; of what cannot be read the text is empty. */
export interface Files {
  /** What `/proc/config.gz` holds, for that one. */
  readonly read: (path: string) => string;
  readonly exists: (path: string) => boolean;
}

const files: Files = {
  read(path) {
    try {
      const content = readFileSync(path);
      return (path.endsWith('.gz') ? gunzipSync(content) : content).toString('latin1');
    } catch {
      return '';
    }
  },
  exists(path) {
    try {
      return existsSync(path);
    } catch {
      // Under `node --permission`, which is no answer.
      return false;
    }
  },
};

/** `null` where nothing readable tells: a container does not see its host's `/lib/modules`. */
export function tlsModule({ read, exists }: Files = files): TlsModule | null {
  if (exists('/sys/module/tls')) return 'loaded';
  // Only the initial network namespace has this file.
  const layers = read('/proc/sys/net/ipv4/tcp_available_ulp').trim().split(/\s+/);
  return layers.includes('tls') ? 'built-in' : asBuilt({ read });
}

/** Whether the running kernel was built with TLS; `null` where nothing readable tells. */
export function kernelHasTls({ read }: Files = files): boolean | null {
  const built = asBuilt({ read });
  return built === null ? null : built !== 'absent';
}

function asBuilt({ read }: Pick<Files, 'read'>): 'built-in' | 'loadable' | 'absent' | null {
  const modules = read(`/lib/modules/${release()}/modules.dep`);
  const builtin = read(`/lib/modules/${release()}/modules.builtin`);
  const config = read(`/boot/config-${release()}`) || read('/proc/config.gz');
  const file = '/net/tls/tls.ko';
  if (/^CONFIG_TLS=y$/m.test(config) || builtin.includes(file)) return 'built-in';
  if (/^CONFIG_TLS=m$/m.test(config) || modules.includes(file)) return 'loadable';
  return config === '' && modules === '' ? null : 'absent';
}
