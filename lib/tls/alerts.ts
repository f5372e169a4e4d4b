/**
 * Alerts (RFC 8446 section 6, RFC 5246 section 7.2): their names, their bytes, and the error that Node
 * raises for one. The same alert must look the same to an application whether OpenSSL or the kernel
 * decrypted it. What to do about an alert is not decided here.
 */
import { type OpensslError, opensslError } from './openssl-error.js';
import { ProtocolVersion } from './constants.js';

export const AlertLevel = { warning: 1, fatal: 2 } as const;

/** Those this package sends or looks at itself. */
export const AlertDescription = {
  closeNotify: 0,
  unexpectedMessage: 10,
  badRecordMac: 20,
  recordOverflow: 22,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
  internalError: 80,
  userCanceled: 90,
  noRenegotiation: 100,
} as const;

export interface Alert {
  readonly level: number;
  readonly description: number;
}

/** Description → its name in the RFCs, and OpenSSL's reason string for receiving it, if it has one. */
const alerts: ReadonlyMap<number, readonly [name: string, reason: string | null]> = new Map([
  [0, ['close_notify', null]],
  [10, ['unexpected_message', 'sslv3 alert unexpected message']],
  [20, ['bad_record_mac', 'sslv3 alert bad record mac']],
  [21, ['decryption_failed', 'tlsv1 alert decryption failed']],
  [22, ['record_overflow', 'tlsv1 alert record overflow']],
  [30, ['decompression_failure', 'sslv3 alert decompression failure']],
  [40, ['handshake_failure', 'sslv3 alert handshake failure']],
  [41, ['no_certificate', 'sslv3 alert no certificate']],
  [42, ['bad_certificate', 'sslv3 alert bad certificate']],
  [43, ['unsupported_certificate', 'sslv3 alert unsupported certificate']],
  [44, ['certificate_revoked', 'sslv3 alert certificate revoked']],
  [45, ['certificate_expired', 'sslv3 alert certificate expired']],
  [46, ['certificate_unknown', 'sslv3 alert certificate unknown']],
  [47, ['illegal_parameter', 'sslv3 alert illegal parameter']],
  [48, ['unknown_ca', 'tlsv1 alert unknown ca']],
  [49, ['access_denied', 'tlsv1 alert access denied']],
  [50, ['decode_error', 'tlsv1 alert decode error']],
  [51, ['decrypt_error', 'tlsv1 alert decrypt error']],
  [60, ['export_restriction', 'tlsv1 alert export restriction']],
  [70, ['protocol_version', 'tlsv1 alert protocol version']],
  [71, ['insufficient_security', 'tlsv1 alert insufficient security']],
  [80, ['internal_error', 'tlsv1 alert internal error']],
  [86, ['inappropriate_fallback', 'tlsv1 alert inappropriate fallback']],
  [90, ['user_canceled', 'tlsv1 alert user cancelled']],
  [100, ['no_renegotiation', 'tlsv1 alert no renegotiation']],
  [109, ['missing_extension', 'tlsv13 alert missing extension']],
  [110, ['unsupported_extension', 'tlsv1 unsupported extension']],
  [111, ['certificate_unobtainable', 'tlsv1 certificate unobtainable']],
  [112, ['unrecognized_name', 'tlsv1 unrecognized name']],
  [113, ['bad_certificate_status_response', 'tlsv1 bad certificate status response']],
  [114, ['bad_certificate_hash_value', 'tlsv1 bad certificate hash value']],
  [115, ['unknown_psk_identity', 'tlsv1 alert unknown psk identity']],
  [116, ['certificate_required', 'tlsv13 alert certificate required']],
  [120, ['no_application_protocol', 'tlsv1 alert no application protocol']],
  [121, ['ech_required', null]], // RFC 9849; OpenSSL 3.5 does not know it
]);

/** The name in the RFCs, e.g. `handshake_failure`; `alert_<n>` for one they do not name. */
export function alertName(description: number): string {
  return alerts.get(description)?.[0] ?? `alert_${description}`;
}

/** The payload of an alert record, or `null` if it is none: alerts are never fragmented nor coalesced. */
export function parseAlert(payload: Uint8Array): Alert | null {
  if (payload.length !== 2) return null;
  return { level: payload[0]!, description: payload[1]! };
}

/** The payload of the record that sends an alert. */
export function buildAlert(level: number, description: number): Buffer {
  return Buffer.from([level, description]);
}

/** What OpenSSL makes of an alert it receives: the end of the stream, nothing, or an error. */
export type AlertMeaning = 'close-notify' | 'ignored' | 'fatal';

/**
 * RFC 8446 section 6: in TLS 1.3 "the severity is implicit in the type of alert being sent and the
 * 'level' field can safely be ignored". In TLS 1.2 a warning is ignored, but for no_renegotiation:
 * OpenSSL takes it for fatal.
 */
export function alertMeaning(version: number, { level, description }: Alert): AlertMeaning {
  if (description === AlertDescription.closeNotify) return 'close-notify';
  if (version === ProtocolVersion.TLS13) {
    return description === AlertDescription.userCanceled ? 'ignored' : 'fatal';
  }
  const warning = level === AlertLevel.warning;
  return warning && description !== AlertDescription.noRenegotiation ? 'ignored' : 'fatal';
}

/**
 * The error Node raises when OpenSSL receives this alert. For a description OpenSSL has no words for
 * Node raises none at all and the stream just ends; this one says the number.
 * @param level as received, and `AlertLevel.fatal` in TLS 1.3, where it means nothing.
 * @param openssl the version whose words to use.
 */
export function alertError(
  level: number,
  description: number,
  openssl: string = process.versions.openssl,
): OpensslError {
  const { reason, number } = receivedReason(level, description);
  const text = renamesSslv3(openssl) ? reason.replace(/^sslv3 alert/, 'ssl/tls alert') : reason;
  const detail = number >= alertReasonOffset ? `:SSL alert number ${description}` : '';
  return opensslError(text, number, detail);
}

/** `SSL_AD_REASON_OFFSET`: the reason number of a received fatal alert is this plus its description. */
const alertReasonOffset = 1000;

function receivedReason(level: number, description: number): { reason: string; number: number } {
  if (level === AlertLevel.fatal) {
    const reason = alerts.get(description)?.[1] ?? `tlsv1 alert number ${description}`;
    return { reason, number: alertReasonOffset + description };
  }
  if (level === AlertLevel.warning && description === AlertDescription.noRenegotiation) {
    return { reason: 'no renegotiation', number: 339 };
  }
  return { reason: 'unknown alert type', number: 246 };
}

/** OpenSSL 3.2 reworded the alerts that go back to SSL 3.0. */
function renamesSslv3(openssl: string): boolean {
  const [major = 0, minor = 0] = openssl.split('.').map(Number);
  return major > 3 || (major === 3 && minor >= 2);
}
