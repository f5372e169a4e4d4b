/** Chromium without a screen, driven over the pipe of its DevTools protocol. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
  readonly sessionId?: string;
}

interface Answer {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class Chromium implements AsyncDisposable {
  readonly #profile = mkdtempSync(join(tmpdir(), 'ktls-chromium-'));
  readonly #process: ChildProcess;
  readonly #answers = new Map<number, Answer>();
  readonly #listeners = new Map<string, (message: Message) => void>();
  #last = 0;

  /** @param keyDigest - Of the public key that is trusted: SHA-256 of its SPKI, in base64. */
  constructor(keyDigest: string) {
    const flags = [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe'],
      ...['--no-first-run', '--disable-background-networking', '--disable-extensions'],
      ...['--disable-dev-shm-usage', `--user-data-dir=${this.#profile}`, '--disable-quic'],
      `--ignore-certificate-errors-spki-list=${keyDigest}`,
    ];
    this.#process = spawn('chromium', flags, {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    this.#process.once('close', (code, signal) => {
      const error = new Error(`chromium has ended: ${code ?? signal}`);
      for (const answer of this.#answers.values()) answer.reject(error);
      this.#answers.clear();
    });
    const [, , , input, output] = this.#process.stdio as unknown as [
      ...[null, null, null],
      ...[Writable, Readable],
    ];
    input.on('error', () => undefined);
    let rest = '';
    output.setEncoding('utf8').on('data', (text: string) => {
      const messages = (rest + text).split('\0');
      rest = messages.pop() ?? '';
      for (const message of messages) this.#receive(JSON.parse(message) as Message);
    });
  }

  /** A command of the protocol. */
  call(method: string, params: object = {}, sessionId?: string): Promise<unknown> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject });
      const input = this.#process.stdio[3] as Writable;
      input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** Opens an empty page. @param onEvent - gets what the protocol tells of it */
  async open(onEvent: (method: string, params: unknown) => void): Promise<Page> {
    const { targetId } = (await this.call('Target.createTarget', { url: 'about:blank' })) as {
      targetId: string;
    };
    const attached = await this.call('Target.attachToTarget', { targetId, flatten: true });
    const { sessionId } = attached as { sessionId: string };
    this.#listeners.set(sessionId, ({ method, params }) => onEvent(method!, params));
    return new Page(this, sessionId);
  }

  #receive(message: Message): void {
    const { id, sessionId, result, error } = message;
    if (id === undefined) {
      this.#listeners.get(sessionId ?? '')?.(message);
      return;
    }
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    if (error === undefined) answer?.resolve(result);
    else answer?.reject(new Error(error.message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const closed = new Promise((resolve) => this.#process.once('close', resolve));
      await this.call('Browser.close').catch(() => undefined);
      await closed;
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class Page {
  readonly #chromium: Chromium;
  readonly #sessionId: string;

  constructor(chromium: Chromium, sessionId: string) {
    this.#chromium = chromium;
    this.#sessionId = sessionId;
  }

  call(method: string, params: object = {}): Promise<unknown> {
    return this.#chromium.call(method, params, this.#sessionId);
  }

  /** The value of an expression, awaited. @throws Error what the page throws */
  async evaluate(expression: string): Promise<unknown> {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = (await this.call('Runtime.evaluate', options)) as {
      result: { value?: unknown };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    };
    if (exceptionDetails !== undefined) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }
}
