/** Files for programs that want names and not bytes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A temporary directory of one test file, which removes it when it is done. */
export class Scratch {
  readonly directory = mkdtempSync(join(tmpdir(), 'ktls-test-'));

  path(name: string): string {
    return join(this.directory, name);
  }

  /** @returns the file's path. */
  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
