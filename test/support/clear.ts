/** What must never be seen on the wire. */
import { randomBytes } from 'node:crypto';
import type { Wire } from './wire.js';
import { recordTypes } from './wire.js';

/** A line of text that nothing else contains. */
export const newMarker = (): string => `marker-${randomBytes(18).toString('hex')}\n`;

/** The forms in which the text could be recognised. */
function forms(marker: string): Buffer[] {
  const text = Buffer.from(marker.trim());
  const base64 = [0, 1, 2].map((shift) => {
    // The characters at both ends depend on the neighbours.
    const encoded = Buffer.concat([Buffer.alloc(shift), text]).toString('base64');
    return Buffer.from(encoded.slice(4, -4));
  });
  return [
    text,
    Buffer.from(text.toString('hex')),
    Buffer.from(text.toString('latin1'), 'utf16le'),
    ...base64,
  ];
}

/**
 * Throws unless both directions consist of TLS records, with the text nowhere in them.
 *
 * @param cut - The connection was cut: the last record may be incomplete.
 */
export function expectNothingInClear(
  { toServer, toClient }: Pick<Wire, 'toServer' | 'toClient'>,
  marker: string,
  cut = false,
): void {
  for (const [direction, chunks] of Object.entries({ toServer, toClient })) {
    recordTypes(chunks, cut);
    const bytes = Buffer.concat(chunks);
    if (forms(marker).some((form) => bytes.includes(form))) {
      throw new Error(`the text went in clear: ${direction}`);
    }
  }
}
