import { expect, it } from 'vitest';
import { applySteps } from '../../../lib/tuning/apply.js';
import { type Step, toShell } from '../../../lib/tuning/plan.js';

const step = (...command: string[]): Step => ({ why: '', command, write: null });

it('places the interrupts of the queues that it has made itself', () => {
  const done: string[] = [];
  const queues = step('queues');
  const plan = (): Step[] =>
    [queues, step('old')]
      .filter((each) => done.length === 0 || each !== queues)
      .map((each) => (done.length > 0 ? step('new') : each))
      .filter((each) => !done.includes(toShell(each)));
  const perform = (each: Step): null => (done.push(toShell(each)), null);
  expect(applySteps(plan, perform, expect.unreachable)).toEqual([]);
  expect(done).toEqual(['queues', 'new']);
});

it('tries each step once, goes on behind one that fails, and says what is left', () => {
  const done: string[] = [];
  const complaints: string[] = [];
  const plan = (): Step[] => [step('a'), step('b'), ...(done.includes('c') ? [] : [step('c')])];
  const perform = (each: Step): string | null => {
    done.push(toShell(each));
    return done.at(-1) === 'a' ? 'no' : null;
  };
  const left = applySteps(plan, perform, (line) => complaints.push(line));
  expect(done).toEqual(['a', 'b', 'c']);
  expect(complaints).toEqual(['a: no']);
  expect(left.map(toShell)).toEqual(['a', 'b']);
});
