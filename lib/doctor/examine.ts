/** Which checks there are, and in which order. */
import { checkAffinity } from './affinity.js';
import { checkCiphers } from './ciphers.js';
import type { Section } from './finding.js';
import { checkInterface, networkCards } from './interfaces.js';
import { checkKernelBugs } from './kernel-bugs.js';
import { checkKernelConfig, checkModules } from './kernel-config.js';
import { checkKernelFeatures } from './kernel-features.js';
import { checkNode } from './node.js';
import { checkSandbox } from './sandbox.js';
import type { System } from './system.js';

/**
 * Every check that only looks.
 *
 * @param wanted - The interfaces to look at; all network cards if there are none.
 */
export function examine(system: System, wanted: readonly string[]): Section[] {
  const chosen = wanted.length > 0;
  const interfaces = chosen ? wanted : networkCards(system);
  return [
    { name: 'Kernel', findings: checkKernelFeatures(system) },
    {
      name: 'Kernel build and modules',
      findings: [...checkKernelConfig(system), ...checkModules(system)],
    },
    { name: 'Sandbox', findings: checkSandbox(system) },
    { name: 'Node', findings: checkNode(system) },
    { name: 'Ciphers', findings: checkCiphers(system) },
    {
      name: 'Network interfaces',
      findings: interfaces.flatMap((name) => checkInterface(system, name, chosen)),
    },
    {
      name: 'CPUs, interrupts and NUMA',
      findings: interfaces.flatMap((name) => checkAffinity(system, name)),
    },
    { name: 'Known bugs', findings: checkKernelBugs(system) },
  ];
}
