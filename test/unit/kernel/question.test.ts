import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Question, isShortage } from '../../../lib/kernel/question.js';

const { EACCES, EAGAIN, EBUSY, EINVAL, EMFILE, ENOMEM, ENOENT } = constants.errno;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** What the kernel answers, one after another, and how long each takes, in milliseconds. */
function ask(answers: number[], took: number) {
  const asked = vi.fn(() => {
    vi.advanceTimersByTime(took);
    return answers.shift()!;
  });
  return { asked, question: new Question(asked, (answer) => !isShortage(answer)) };
}

describe('a question to the kernel', () => {
  it('is asked when its answer is wanted, and once', () => {
    const { asked, question } = ask([-EINVAL], 1);
    expect(asked).not.toHaveBeenCalled();
    expect([question.answer(), question.answer()]).toEqual([-EINVAL, -EINVAL]);
    vi.advanceTimersByTime(1_000_000_000);
    expect(question.answer()).toBe(-EINVAL);
    expect(asked).toHaveBeenCalledOnce();
  });

  it('is asked again where there was no answer but a shortage', () => {
    const { question } = ask([-EMFILE, -ENOMEM, 0], 1);
    expect(question.answer()).toBe(-EMFILE);
    vi.advanceTimersByTime(100);
    expect(question.answer()).toBe(-ENOMEM);
    vi.advanceTimersByTime(100);
    expect(question.answer()).toBe(0);
  });

  it('is not asked again before a hundred times as long has passed as it took', () => {
    const { asked, question } = ask([-EAGAIN, 0], 200);
    for (let waited = 0; waited < 20_000; waited += 1000) {
      expect(question.answer()).toBe(-EAGAIN);
      vi.advanceTimersByTime(1000);
    }
    expect(asked).toHaveBeenCalledOnce();
    expect(question.answer()).toBe(0);
  });
});

it.each([0, -EINVAL, -EBUSY, -ENOENT, -EACCES])('%i is an answer, and no shortage', (result) => {
  expect(isShortage(result)).toBe(false);
});
