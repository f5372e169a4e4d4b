/** What outlives a handshake whose connection is under kernel TLS: no more secrets than will be needed. */
import type { TLSSocket } from 'node:tls';
import type { Handshake } from '../handshake/handshake.js';
import type { Negotiated } from '../handshake/negotiated.js';
import { ServerFacts, type TlsFacts } from '../handshake/tls-facts.js';
import type { Channel } from '../kernel/binding.js';
import type { Installed } from '../kernel/install.js';
import { kernelMayParkRecords, kernelRekeys } from '../kernel/probe.js';
import { Rekeying } from '../kernel/rekey.js';
import { ProtocolVersion } from '../tls/constants.js';
import { Exporter } from '../tls/exporter.js';
import type { KernelPathParts } from './kernel-path.js';
import { SessionShadow } from './session-shadow.js';

export interface Outlives {
  readonly negotiated: Negotiated;
  /** Who answers for the TLS API. */
  readonly facts: TlsFacts;
  /** Of a client: its TLS object takes session tickets until the socket closes. */
  readonly shadowed: Handshake | null;
  readonly parts: KernelPathParts;
}

/** @param rekeyAfter - Records after which our own key is changed. */
export function outlives(
  handshake: Handshake,
  tls: TLSSocket,
  negotiated: Negotiated,
  channel: Channel,
  installed: Installed,
  rekeyAfter: number,
): Outlives {
  const { isServer, secrets, serverRandom, receiveSequence } = handshake.observer;
  const { suite } = installed;
  const parksRecords = kernelMayParkRecords();
  let shadow: SessionShadow | null = null;
  let rekeying: Rekeying | null = null;
  if (suite.version === ProtocolVersion.TLS13) {
    const client = secrets.clientTrafficSecret!;
    const server = secrets.serverTrafficSecret!;
    if (kernelRekeys(suite.kernelCipher)) {
      rekeying = isServer
        ? new Rekeying(channel, server, client)
        : new Rekeying(channel, client, server);
    }
    if (!isServer) {
      shadow = new SessionShadow(suite, server, receiveSequence, (record) =>
        handshake.feed(record),
      );
    }
  }
  return {
    negotiated,
    facts: isServer
      ? new ServerFacts(tls, negotiated, Exporter.of(suite, secrets, serverRandom))
      : tls,
    shadowed: isServer ? null : handshake,
    parts: { channel, installed, isServer, parksRecords, rekeying, rekeyAfter, shadow },
  };
}
