import { readFile, writeFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { run } from './command.js';
import { VmError } from './errors.js';

const elfMagic = '7f454c46';

/** Decompressors by the first bytes of what they take. */
const formats: readonly { magic: string; tool: 'lz4' | 'xz' | 'zstd' }[] = [
  { magic: '02214c18', tool: 'lz4' }, // 6.1
  { magic: '28b52ffd', tool: 'zstd' }, // 6.12, 7.3
  { magic: 'fd377a58', tool: 'xz' },
];

/**
 * Takes the ELF kernel out of a bzImage. QEMU enters it directly (PVH), and the guest need not
 * decompress itself: 1.1 s of 6.2 s under TCG. The price is that nothing randomises addresses,
 * which makes runs more alike.
 * Format: Documentation/arch/x86/boot.rst; the payload ends with its inflated length, 32 bits
 * little-endian, which gzip has anyway and the build appends for the others.
 */
export async function extractVmlinux(bzImage: string, vmlinux: string): Promise<void> {
  const image = await readFile(bzImage);
  const setupSectors = image.readUInt8(0x1f1) || 4; // 0 is an old way to say 4
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  const kernel = await inflate(payload);
  if (
    kernel.length !== payload.readUInt32LE(payload.length - 4) ||
    kernel.toString('hex', 0, 4) !== elfMagic
  ) {
    throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `no kernel found in ${bzImage}`);
  }
  await writeFile(vmlinux, kernel);
}

async function inflate(payload: Buffer): Promise<Buffer> {
  const magic = payload.toString('hex', 0, 4);
  if (magic.startsWith('1f8b')) return gunzipSync(payload);
  const format = formats.find((candidate) => candidate.magic === magic);
  if (!format) {
    throw new VmError('ERR_KTLS_VM_BAD_PACKAGE', `a kernel compressed in a new way (${magic})`);
  }
  return run(format.tool, ['-dc'], { input: payload.subarray(0, -4) });
}
