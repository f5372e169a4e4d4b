import { release } from 'node:os';
import { describe, expect, it } from 'vitest';
import { type Files, kernelHasTls, tlsModule } from '../../../lib/kernel/tls-module.js';

const layers = '/proc/sys/net/ipv4/tcp_available_ulp';
const boot = `/boot/config-${release()}`;
const dependencies = `/lib/modules/${release()}/modules.dep`;
const builtin = `/lib/modules/${release()}/modules.builtin`;

const machine = (texts: Record<string, string>, ...others: string[]): Files => ({
  read: (path) => texts[path] ?? '',
  exists: (path) => path in texts || others.includes(path),
});

describe('the TLS of the kernel', () => {
  it.each([
    ['loaded', machine({ [layers]: 'espintcp mptcp tls\n' }, '/sys/module/tls')],
    ['built-in', machine({ [layers]: 'tls\n' })],
    // In a network namespace of its own, which does not have the list.
    ['loaded', machine({}, '/sys/module/tls')],
    ['loaded', machine({ [boot]: 'CONFIG_TLS=m\n' }, '/sys/module/tls')],
    ['built-in', machine({ '/proc/config.gz': 'CONFIG_TLS=y\n' })],
    ['loadable', machine({ [layers]: 'espintcp\n', [boot]: 'CONFIG_TLS=m\n' })],
    ['loadable', machine({ [layers]: '\n', '/proc/config.gz': 'CONFIG_NET=y\nCONFIG_TLS=m\n' })],
    ['loadable', machine({ [layers]: '\n', [dependencies]: 'kernel/net/tls/tls.ko.xz:\n' })],
    ['absent', machine({ [layers]: '\n', [boot]: '# CONFIG_TLS is not set\n' })],
    ['absent', machine({ [layers]: '\n', [dependencies]: 'kernel/net/ipv4/tunnel4.ko:\n' })],
    // A module of another name.
    ['absent', machine({ [layers]: 'mytls\n', [boot]: 'CONFIG_TLS_DEVICE=y\n' })],
    // A container.
    [null, machine({ [layers]: 'espintcp\n' })],
    [null, machine({})],
  ])('is %s', (expected, files) => {
    expect(tlsModule(files)).toBe(expected);
  });

  it('is known to be built in before anybody has used it', () => {
    expect(kernelHasTls(machine({ [builtin]: 'kernel/net/tls/tls.ko\n' }))).toBe(true);
  });
});
