/** The proof: a real connection, real bytes, and what the kernel and the card say they did with them. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type TLSSocket } from 'node:tls';
import { type ClientSocket, type ConnectOptions, connect } from '../connect.js';
import { type TlsCounters, tlsCounters } from '../kernel/counters.js';
import { interfaceStatistics } from '../kernel/ethtool.js';
import { tlsStatistics } from '../kernel/host-stats.js';
import { createServer } from '../server.js';
import type { OffloadState } from '../socket/offload-state.js';
import { type Finding, fail, info, pass, warn } from './finding.js';

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** What one connection left behind. */
export interface Evidence {
  /** Whom it was made to, such as `192.0.2.1:443`. */
  readonly peer: string;
  /** The peer's address, which may be one of this machine's own; `null`: there was no connection. */
  readonly address: string | null;
  /** The interface that has the connection's local address; `null` if none does any more. */
  readonly interface: string | null;
  readonly version: TlsVersion;
  readonly state: OffloadState | null;
  /** Bytes that came back as they had gone out; 0: none were sent. */
  readonly echoed: number;
  /** Of `/proc/net/tls_stat`: what changed. */
  readonly kernel: TlsCounters;
  /** Of the interface's TLS counters: what changed. */
  readonly card: Readonly<Record<string, number>>;
  readonly error: string | null;
  /** The error's code; `null` if there is none. */
  readonly code: string | null;
}

const size = 1 << 20;
const deadline = 20_000;
const identity = 'ktls-doctor';

/** Certificates are for servers that somebody trusts; a shared key of this moment proves as much here. */
const cipherLists: Readonly<Record<TlsVersion, string>> = {
  'TLSv1.2': 'PSK-AES128-GCM-SHA256',
  'TLSv1.3': 'TLS_AES_128_GCM_SHA256',
};

/** To a server of our own at this address of this machine: a megabyte there and back. */
export async function tryAddress(address: string, version: TlsVersion): Promise<Evidence> {
  const psk = randomBytes(32);
  const versions = { minVersion: version, maxVersion: version, ciphers: cipherLists[version] };
  const server = createServer({ ...versions, pskCallback: () => psk }, (socket: TLSSocket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  try {
    await once(server.listen(0, address), 'listening');
  } catch (error) {
    return unmade(address, version, failureOf(error));
  }
  const { port } = server.address() as AddressInfo;
  try {
    return await tryConnection(
      {
        host: address,
        port,
        ...versions,
        pskCallback: () => ({ psk, identity }),
        checkServerIdentity: () => undefined,
      },
      version,
      true,
    );
  } finally {
    server.close();
  }
}

/** Of a connection that there was no server for. */
const unmade = (peer: string, version: TlsVersion, failure: Failure): Evidence => ({
  peer,
  address: null,
  interface: null,
  version,
  state: null,
  echoed: 0,
  kernel: {},
  card: {},
  ...failure,
});

/** To somebody else's server: the handshake, and not a byte more. */
export function tryPeer(host: string, port: number, version: TlsVersion): Promise<Evidence> {
  // RFC 6066 section 3: an address is no server name.
  const servername = isIP(host) === 0 ? host : '';
  const options = { host, port, servername, minVersion: version, maxVersion: version };
  // Nothing is sent, and nothing that comes is believed.
  return tryConnection({ ...options, rejectUnauthorized: false }, version, false);
}

async function tryConnection(
  options: ConnectOptions,
  version: TlsVersion,
  echo: boolean,
): Promise<Evidence> {
  const before = tlsCounters() ?? {};
  const cards = Object.keys(networkInterfaces());
  const cardsBefore = new Map(cards.map((name) => [name, cardStatistics(name)]));
  const found: {
    state: OffloadState | null;
    address: string | null;
    interface: string | null;
    echoed: number;
  } = { state: null, address: null, interface: null, echoed: 0 };
  let failure: Failure = { error: null, code: null };
  const socket = connect(options);
  try {
    await within(deadline, once(socket, 'secureConnect'));
    found.state = socket.offload;
    found.address = socket.remoteAddress ?? null;
    found.interface = interfaceOf(socket.localAddress);
    if (echo) found.echoed = await within(deadline, echoOnce(socket));
  } catch (caught) {
    failure = failureOf(caught);
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
  return {
    peer: `${options.host!}:${options.port!}`,
    version,
    ...found,
    kernel: difference(before, tlsCounters() ?? {}),
    card:
      found.interface === null
        ? {}
        : difference(cardsBefore.get(found.interface) ?? {}, cardStatistics(found.interface)),
    ...failure,
  };
}

type Failure = Pick<Evidence, 'error' | 'code'>;

function failureOf(error: unknown): Failure {
  const { message, code = null } = error as NodeJS.ErrnoException;
  // OpenSSL ends its messages with a newline.
  return { error: message.trim(), code };
}

const cardStatistics = (name: string): Readonly<Record<string, number>> =>
  tlsStatistics(interfaceStatistics(name));

async function echoOnce(socket: ClientSocket): Promise<number> {
  const data = randomBytes(size);
  const hash = createHash('sha256');
  let length = 0;
  socket.write(data);
  for await (const chunk of socket) {
    hash.update(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length >= size) break;
  }
  if (!hash.digest().equals(createHash('sha256').update(data).digest())) {
    throw new Error(`what came back (${length} bytes) is not what was sent`);
  }
  return length;
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${milliseconds / 1000} s`));
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function interfaceOf(address: string | undefined): string | null {
  const all = Object.entries(networkInterfaces());
  return all.find(([, list]) => list?.some((each) => each.address === address))?.[0] ?? null;
}

function difference(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, value]): [string, number] => [name, value - (before[name] ?? 0)])
      .filter(([, change]) => change !== 0),
  );
}

/** The peer said no to the version, or chose another. */
const refusals: readonly (string | null)[] = [
  'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  'ERR_SSL_UNSUPPORTED_PROTOCOL',
];

/** What the evidence of connections to one peer proves: it need not take every version. */
export function judgeAll(all: readonly Evidence[]): Finding[] {
  const connected = all.some(({ state, error }) => state !== null && error === null);
  return all.flatMap((evidence) =>
    connected && refusals.includes(evidence.code) ? [versionRefused(evidence)] : judge(evidence),
  );
}

function titled({ version, peer }: Evidence): [check: string, title: string] {
  return [version === 'TLSv1.2' ? 'live.tls12' : 'live.tls13', `${version} with ${peer}`];
}

const versionRefused = (evidence: Evidence): Finding =>
  info(...titled(evidence), `The peer does not take this version: ${evidence.error ?? ''}.`);

/** What the evidence of one connection proves. */
export function judge(evidence: Evidence): Finding[] {
  const { state, echoed, kernel, card, error } = evidence;
  const [check, title] = titled(evidence);
  const moved = Object.entries({ ...kernel, ...card })
    .map(([name, change]) => `${name} ${change > 0 ? '+' : ''}${change}`)
    .join(', ');
  if (state === null || error !== null) {
    return [fail(check, title, `The connection failed: ${error ?? 'no state'}.`)];
  }
  if (!state.offloaded) {
    return [
      fail(
        check,
        title,
        `node:tls carries it: ${state.detail ?? 'no reason given'} (${state.reason ?? '?'}).`,
      ),
    ];
  }
  const transfer = echoed > 0 ? `${echoed} bytes went there and came back equal` : 'it was secured';
  const findings = [
    pass(
      check,
      title,
      `${state.cipher ?? ''}: ${transfer}; sending in ${place(state.tx)}, receiving in ${place(state.rx)}${moved === '' ? '' : ` (${moved})`}.`,
    ),
  ];
  if ((kernel['TlsDecryptError'] ?? 0) > 0) findings.push(undecrypted(evidence));
  if (state.tx !== 'device') findings.push(whyNoDevice(evidence, state));
  return findings;
}

/** The counter is of the whole network namespace, and a record of this connection that fails would have ended it. */
function undecrypted({ version, kernel }: Evidence): Finding {
  return info(
    'live.decrypt',
    `${version}: records that the kernel could not decrypt`,
    `TlsDecryptError +${kernel['TlsDecryptError']}: of connections of others meanwhile.`,
  );
}

/** Only `device` is something to be sure of before Linux 6.15. */
const place = (medium: OffloadState['tx']): string =>
  medium === 'device'
    ? 'the network card'
    : medium === 'software'
      ? "the kernel's software"
      : 'the kernel';

function whyNoDevice(evidence: Evidence, state: OffloadState): Finding {
  const check = 'live.device';
  const title = `${evidence.version}: no network card`;
  const { kernel, version, interface: name } = evidence;
  if (state.tx === 'kernel' && !('TlsTxDevice' in kernel) && !('TlsTxSw' in kernel)) {
    return warn(
      check,
      title,
      'The kernel does not say who encrypts: before Linux 6.15 it tells only CAP_NET_ADMIN, and only with tcp_diag.',
      'modprobe tcp_diag # and run this as root',
    );
  }
  if (name === 'lo' || isOwn(evidence)) {
    return info(
      check,
      title,
      `Both ends are on this machine, and such a connection goes through loopback, which has no card; "--connect HOST:PORT" tries one that leaves it.`,
    );
  }
  if (version === 'TLSv1.3') {
    return info(
      check,
      title,
      "TLS 1.3 was negotiated: this kernel's device path takes only TLS 1.2.",
      "ktls.connect({ maxVersion: 'TLSv1.2' }) # where a card is worth it; on a server likewise",
    );
  }
  if (!/AES(_|-)?(128|256)-GCM/.test(state.cipher ?? '')) {
    return info(
      check,
      title,
      `${state.cipher ?? 'The cipher'} is not AES-GCM, and cards take nothing else.`,
    );
  }
  if (state.tx === 'kernel' && (kernel['TlsTxDevice'] ?? 0) > 0) {
    return info(
      check,
      `${version}: a network card, it seems`,
      'By the counters a card encrypts. They count for all programs of this network namespace: before Linux 6.15 the kernel tells only CAP_NET_ADMIN of one connection.',
      'modprobe tcp_diag # and run this as root, to be sure',
    );
  }
  return info(
    check,
    title,
    `The kernel did not hand it to ${name ?? 'the card'}: see tls-hw-tx-offload and the link above.`,
  );
}

function isOwn({ address }: Evidence): boolean {
  // networkInterfaces() has no scopes.
  const plain = address?.replace(/%.*/, '');
  return Object.values(networkInterfaces()).some((list) =>
    list?.some((each) => each.address === plain),
  );
}
