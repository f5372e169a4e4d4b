/** Changes the machine as the plan has it. */
import { type Step, toShell } from './plan.js';

/**
 * Each step once, and goes on after a failure: each is worth something by itself. The plan is made anew behind
 * each, since new queues have new interrupts, and those from before may be gone.
 *
 * @param perform - Returns why it could not be done, or `null`.
 * @param complain - Gets a line for what failed.
 * @returns what is still planned when all has been tried.
 */
export function applySteps(
  plan: () => readonly Step[],
  perform: (step: Step) => string | null,
  complain: (line: string) => void,
): readonly Step[] {
  const tried = new Set<string>();
  for (;;) {
    const steps = plan();
    const step = steps.find((each) => !tried.has(toShell(each)));
    if (step === undefined) return steps;
    tried.add(toShell(step));
    const error = perform(step);
    if (error !== null) complain(`${toShell(step)}: ${error}`);
  }
}
