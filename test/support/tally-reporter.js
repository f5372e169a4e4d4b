/** Prints one machine-readable line at the end, so that several runs can be added up. */
export default class TallyReporter {
  onTestRunEnd(testModules, unhandledErrors) {
    const tally = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of testModules) {
      if (module.state() === 'failed' && module.errors().length > 0) tally.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        tally[state === 'pending' ? 'failed' : state]++;
      }
    }
    process.stdout.write(`ktls-tally ${JSON.stringify(tally)}\n`);
  }
}
