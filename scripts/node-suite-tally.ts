/** Preloaded into each of Node's tests: writes down what became of each socket, as it happens. */
import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync } from 'node:fs';

const file = process.env['KTLS_SUITE_TALLY'];
for (const [channel, letter] of [
  ['ktls:offload', 'o'],
  ['ktls:refusal', 'r'],
] as const) {
  subscribe(channel, () => {
    if (file !== undefined) appendFileSync(file, letter);
  });
}
