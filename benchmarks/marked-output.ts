/** What a measuring process says to whoever started it: lines behind a mark, among lines for people. */
export class MarkedOutput<T> {
  readonly #mark: string;
  readonly #onMessage: (message: T) => void;
  #line = '';

  /**
   * @param mark - What a line begins with that is a message: JSON follows. Other lines are printed.
   * @param onMessage - Gets each message as it comes.
   */
  constructor(mark: string, onMessage: (message: T) => void) {
    this.#mark = mark;
    this.#onMessage = onMessage;
  }

  read(chunk: Buffer): void {
    const lines = (this.#line + chunk.toString()).split('\n');
    this.#line = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith(this.#mark)) console.log(line);
      else this.#onMessage(JSON.parse(line.slice(this.#mark.length)) as T);
    }
  }
}
