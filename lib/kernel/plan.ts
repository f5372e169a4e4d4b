/**
 * Decides whether a finished handshake can be handed to the kernel. Every reason to refuse that is known
 * before the commit point, other than a missing kernel, is in this one function.
 */
import { KtlsError } from '../errors.js';
import { type CipherSuite, cipherSuiteByName } from '../tls/cipher-suites.js';
import { ProtocolVersion, protocolVersion } from '../tls/constants.js';
import { type WriteKeys, keyBlock, trafficKeys } from '../tls/key-schedule.js';
import { type KeylogSecrets } from '../tls/keylog.js';
import { recordLimitRefusal } from './features.js';
import { cipherRefusal } from './probe.js';

/** What the handshake agreed on and what was seen of it. */
export interface HandshakeFacts {
  readonly isServer: boolean;
  /** `TLSSocket.getProtocol()`. */
  readonly protocol: string | null;
  /** `TLSSocket.getCipher().name`: OpenSSL's name. */
  readonly cipher: string;
  readonly secrets: KeylogSecrets;
  readonly serverRandom: Buffer | null;
  readonly receiveSequence: bigint;
  /** Bytes of plaintext, if max_fragment_length was agreed on. */
  readonly fragmentLimit: number | null;
}

/** Where our own sending stands: the next record's sequence number and TLS 1.2 explicit nonce. */
export interface SendState {
  readonly sequence: bigint;
  readonly nextNonce: Buffer | null;
}

export interface ConnectionKeys {
  readonly send: WriteKeys;
  readonly receive: WriteKeys;
  wipe(): void;
}

export interface Plan {
  readonly suite: CipherSuite;
  readonly receiveSequence: bigint;
  readonly fragmentLimit: number | null;
  /** Derives the keys; the caller wipes them. */
  deriveKeys(): ConnectionKeys;
}

export function plan(facts: HandshakeFacts): Plan | KtlsError {
  const version = protocolVersion(facts.protocol);
  if (version === undefined) return new KtlsError('ERR_KTLS_VERSION', facts.protocol ?? 'unknown');
  const suite = cipherSuiteByName(facts.cipher, version);
  if (suite === undefined) return new KtlsError('ERR_KTLS_CIPHER', facts.cipher);
  const refusal = cipherRefusal(suite);
  if (refusal !== null) return refusal;
  // The kernel's records grow to 16 KiB, and such a peer may hold less.
  const { fragmentLimit } = facts;
  const unlimited = fragmentLimit === null ? null : recordLimitRefusal();
  if (unlimited !== null) return unlimited;
  const pair = keyPair(facts, suite);
  if (pair === null) return new KtlsError('ERR_KTLS_SECRETS');
  return {
    suite,
    receiveSequence: facts.receiveSequence,
    fragmentLimit,
    deriveKeys() {
      const { client, server } = pair();
      const [send, receive] = facts.isServer ? [server, client] : [client, server];
      return {
        send,
        receive,
        wipe() {
          for (const { key, iv } of [send, receive]) {
            key.fill(0);
            iv.fill(0);
          }
        },
      };
    },
  };
}

type KeyPair = () => { client: WriteKeys; server: WriteKeys };

function keyPair(facts: HandshakeFacts, suite: CipherSuite): KeyPair | null {
  const { secrets, serverRandom } = facts;
  if (secrets.repeated) return null;
  if (suite.version === ProtocolVersion.TLS13) {
    const { clientTrafficSecret, serverTrafficSecret } = secrets;
    if (clientTrafficSecret === null || serverTrafficSecret === null) return null;
    return () => ({
      client: trafficKeys(suite, clientTrafficSecret),
      server: trafficKeys(suite, serverTrafficSecret),
    });
  }
  const { clientRandom, masterSecret } = secrets;
  if (clientRandom === null || masterSecret === null || serverRandom === null) return null;
  return () => keyBlock(suite, masterSecret, clientRandom, serverRandom);
}
