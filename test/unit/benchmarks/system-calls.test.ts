import { expect, it } from 'vitest';
import { callsOf } from '../../../benchmarks/system-calls.js';

const histogram = `# event histogram
#
# trigger info: hist:keys=common_pid:vals=hitcount:sort=hitcount:size=2048 [active]
#

{ common_pid:         11 } hitcount:          5
{ common_pid:        111 } hitcount:         70
{ common_pid:         12 } hitcount:       2048

Totals:
    Hits: 2123
    Entries: 3
    Dropped: 0
`;

it('the system calls of a process are those of its threads', () => {
  expect(callsOf(['11', '12'], histogram)).toBe(2053);
  expect(callsOf(['1', '2'], histogram)).toBe(0);
});
