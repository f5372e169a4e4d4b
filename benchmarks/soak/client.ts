/** The clients of a soak, all in one process: makes connections by number, so many at the same time. */
import { connection, kinds } from './kinds.js';
import type { BatchTally, SoakBatch, SoakPorts } from './protocol.js';
import { processState } from './state.js';

const ports = JSON.parse(process.argv[2]!) as SoakPorts;

/** In milliseconds. A connection that is not over by then hangs. */
const PATIENCE = 120_000;

async function make(batch: SoakBatch): Promise<BatchTally> {
  const counts: Record<string, number> = {};
  let [secured, resumed, received] = [0, 0, 0];
  let next = batch.from;
  const lane = async (): Promise<void> => {
    while (next < batch.from + batch.count) {
      const number = next++;
      const { name, variant } = connection(number);
      const hung = setTimeout(() => {
        throw new Error(`connection ${number} hangs: ${name}, ${JSON.stringify(variant)}`);
      }, PATIENCE);
      const outcome = await kinds[name]!(ports, variant);
      clearTimeout(hung);
      counts[name] = (counts[name] ?? 0) + 1;
      secured += Number(outcome.secured);
      resumed += Number(outcome.resumed);
      received += outcome.received;
    }
  };
  await Promise.all(Array.from({ length: batch.atOnce }, lane));
  return { kinds: counts, secured, resumed, received };
}

process.on('message', (question) => {
  const answer = question === 'state' ? processState() : make(question as SoakBatch);
  void answer.then((value) => process.send!(value));
});
process.on('disconnect', () => process.exit());
process.send!('ready');
