import { once } from 'node:events';
import { Duplex } from 'node:stream';
import tls from 'node:tls';

import { describe, expect, it } from 'vitest';

import {
  alertError,
  alertMeaning,
  alertName,
  buildAlert,
  parseAlert,
} from '../../../lib/tls/alerts.js';
import { ProtocolVersion } from '../../../lib/tls/constants.js';
import type { OpensslError } from '../../../lib/tls/openssl-error.js';
import { buildRecordHeader } from '../../../lib/tls/record.js';

/** Answers a ClientHello with one plaintext alert, then ends. */
class AlertingServer extends Duplex {
  readonly #payload: Buffer;

  constructor(level: number, description: number) {
    super();
    this.#payload = buildAlert(level, description);
  }

  override _read(): void {
    // Pushed in answer to the ClientHello.
  }

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    this.push(Buffer.concat([buildRecordHeader(21, this.#payload.length), this.#payload]));
    this.push(null);
    done();
  }
}

async function errorOfNode(level: number, description: number): Promise<OpensslError> {
  const client = tls.connect({ socket: new AlertingServer(level, description) });
  const [error] = (await once(client, 'error')) as [OpensslError];
  client.destroy();
  return error;
}

const FATAL = 2;
const descriptions = Array.from({ length: 256 }, (_, description) => description);
const known = [
  ...[10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86, 90],
  ...[100, 109, 110, 111, 112, 113, 114, 115, 116, 120],
];

/** The message but for the thread's number, the function and the line in OpenSSL. */
function essentials(message: string): unknown {
  const [, code, library, reason, alert] =
    /error:([0-9A-F]{8}):([^:]*):[^:]*:([^:]*)(?:.*:(SSL alert number \d+))?/.exec(message)!;
  return { code, library, reason, alert };
}

describe('alertError', () => {
  it.each(known)('is what this Node raises for alert %i', async (description) => {
    const theirs = await errorOfNode(FATAL, description);
    const ours = alertError(FATAL, description);
    expect({ ...ours }).toEqual({ ...theirs });
    expect(essentials(ours.message)).toEqual(essentials(theirs.message));
    expect(ours).toBeInstanceOf(Error);
  });

  it('knows every alert that OpenSSL knows', async () => {
    const raised: number[] = [];
    for (const description of descriptions) {
      const { library } = await errorOfNode(FATAL, description);
      // An alert it does not know: Node sees only the end of the stream.
      if ((library as string | undefined) !== undefined) raised.push(description);
    }
    expect(raised).toEqual(known);
  });

  it.each([
    ['no_renegotiation as a warning', 1, 100],
    ['a level that is none', 3, 40],
  ])('is what this Node raises for %s', async (_, level, description) => {
    const theirs = await errorOfNode(level, description);
    const ours = alertError(level, description);
    expect({ ...ours }).toEqual({ ...theirs });
    expect(essentials(ours.message)).toEqual(essentials(theirs.message));
  });

  it.each(['3.0.19', '3.1.4', '1.1.1w'])(
    'speaks of sslv3 in the words of OpenSSL %s',
    (version) => {
      expect(alertError(FATAL, 40, version)).toMatchObject({
        reason: 'sslv3 alert handshake failure',
        code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE',
        message: 'error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40',
      });
    },
  );

  it.each(['3.2.1', '3.5.8', '3.10.0', '4.0.0'])('of ssl/tls in those of %s', (version) => {
    expect(alertError(FATAL, 40, version)).toMatchObject({
      reason: 'ssl/tls alert handshake failure',
      code: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE',
      message: 'error:0A000410:SSL routines::ssl/tls alert handshake failure:SSL alert number 40',
    });
  });

  it('has a code for every description, known or not', () => {
    for (const description of descriptions) {
      expect(alertError(FATAL, description).code).toMatch(/^ERR_SSL_[A-Z0-9_/]+$/);
    }
    expect(alertError(FATAL, 255).code).toBe('ERR_SSL_TLSV1_ALERT_NUMBER_255');
  });
});

describe('alertName', () => {
  it('is the name in the RFCs', () => {
    expect([0, 40, 90, 121, 200].map(alertName)).toEqual([
      'close_notify',
      'handshake_failure',
      'user_canceled',
      'ech_required',
      'alert_200',
    ]);
  });
});

describe('alertMeaning', () => {
  const { TLS12, TLS13 } = ProtocolVersion;
  it.each([
    ['close_notify ends either version', TLS12, 1, 0, 'close-notify'],
    ['close_notify ends either version', TLS13, 1, 0, 'close-notify'],
    ['the level of close_notify says nothing', TLS12, 2, 0, 'close-notify'],
    ['a TLS 1.2 warning is ignored', TLS12, 1, 112, 'ignored'],
    ['no_renegotiation is fatal even as a warning', TLS12, 1, 100, 'fatal'],
    ['a fatal alert is fatal', TLS12, 2, 40, 'fatal'],
    ['a level that is none is fatal', TLS12, 3, 112, 'fatal'],
    ['TLS 1.3 knows no warnings', TLS13, 1, 112, 'fatal'],
    ['user_canceled announces a close_notify', TLS13, 1, 90, 'ignored'],
    ['user_canceled is fatal if TLS 1.2 says so', TLS12, 2, 90, 'fatal'],
  ] as const)('%s', (_, version, level, description, meaning) => {
    expect(alertMeaning(version, { level, description })).toBe(meaning);
  });
});

describe('parseAlert', () => {
  it('reads what buildAlert wrote', () => {
    expect(parseAlert(buildAlert(2, 40))).toEqual({ level: 2, description: 40 });
  });

  it.each([0, 1, 3, 4])('has no meaning for %i bytes', (length) => {
    expect(parseAlert(Buffer.alloc(length))).toBeNull();
  });
});
