/** Work in turns of the event loop: some of it at once, the rest when others have had their turn. */
export class Turns {
  readonly #some: () => boolean;
  readonly #rested: () => void;
  #working = false;
  /** The rest is going to be done in another turn, and not before. */
  #due = false;
  readonly #nextTurn = (): void => {
    this.#due = false;
    this.take();
  };

  /**
   * @param some - Does some of the work. Returns whether there may be more.
   * @param rested - Called when there was none left.
   */
  constructor(some: () => boolean, rested: () => void = () => undefined) {
    this.#some = some;
    this.#rested = rested;
  }

  /** Whether this is called from within the work. */
  get working(): boolean {
    return this.#working;
  }

  /** There may be work. */
  take(): void {
    if (this.#working || this.#due) return;
    this.#working = true;
    // An exception is of a callback of the application, which may catch it; nobody will tell again of the rest.
    let unfinished = true;
    try {
      unfinished = this.#some();
    } finally {
      this.#working = false;
      if (unfinished) this.#takeLater();
    }
    if (!unfinished) this.#rested();
  }

  #takeLater(): void {
    this.#due = true;
    setImmediate(this.#nextTurn);
  }
}
