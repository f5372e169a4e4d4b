/** What a real connection's evidence is taken to prove. */
import { describe, expect, it } from 'vitest';
import { type Evidence, judge, judgeAll } from '../../../lib/doctor/live.js';
import type { OffloadState } from '../../../lib/socket/offload-state.js';

const software: OffloadState = {
  offloaded: true,
  tx: 'software',
  rx: 'software',
  version: 'TLSv1.2',
  cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  zeroCopy: false,
  reason: null,
  detail: null,
};

const evidence = (
  change: Partial<Evidence>,
  state: Partial<OffloadState> | null = {},
): Evidence => ({
  peer: '192.0.2.1:443',
  address: '192.0.2.1',
  interface: 'eth7',
  version: 'TLSv1.2',
  state: state && { ...software, ...state },
  echoed: 1048576,
  kernel: { TlsTxSw: 2 },
  card: {},
  error: null,
  code: null,
  ...change,
});

describe('the verdict on a real connection', () => {
  it('passes for a device, with the counters that moved', () => {
    const card = { tx_tls_encrypted_packets: 12 };
    const found = judge(evidence({ kernel: { TlsTxDevice: 2 }, card }, { tx: 'device' }));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ check: 'live.tls12', verdict: 'pass' });
    expect(found[0]!.why).toContain('sending in the network card');
    expect(found[0]!.why).toContain('TlsTxDevice +2, tx_tls_encrypted_packets +12');
  });

  it('says of TLS 1.3 that the device path takes only 1.2', () => {
    const found = judge(evidence({ version: 'TLSv1.3' }, { cipher: 'TLS_AES_128_GCM_SHA256' }));
    expect(found.map(({ verdict }) => verdict)).toEqual(['pass', 'info']);
    expect(found[1]!.why).toBe(
      "TLS 1.3 was negotiated: this kernel's device path takes only TLS 1.2.",
    );
  });

  it('says of loopback that it has no card', () => {
    expect(judge(evidence({ peer: '127.0.0.1:1', interface: 'lo' }))[1]!.why).toContain(
      'loopback, which has no card',
    );
    const local = evidence({ peer: '127.0.0.1:1', address: '127.0.0.1', interface: null });
    expect(judge(local)[1]!.why).toContain('loopback');
  });

  it("knows this machine's own name by the address behind it", () => {
    const named = evidence({ peer: 'this-machine.example:443', address: '127.0.0.1' });
    expect(judge(named)[1]!.why).toContain('goes through loopback');
  });

  it('says that a cipher is none for a card', () => {
    const found = judge(evidence({}, { cipher: 'ECDHE-ECDSA-CHACHA20-POLY1305' }));
    expect(found[1]!.why).toContain('is not AES-GCM');
  });

  it('points at the flags where a card could have taken it', () => {
    expect(judge(evidence({}))[1]!.why).toContain('eth7: see tls-hw-tx-offload');
  });

  it('does not guess where the kernel does not say', () => {
    const found = judge(evidence({ kernel: {} }, { tx: 'kernel' }));
    expect(found[1]).toMatchObject({ verdict: 'warn' });
    expect(found[1]!.why).toContain('CAP_NET_ADMIN');
  });

  it('believes the counters, and not too much, where the kernel does not say', () => {
    const kernel = { TlsTxDevice: 1, TlsRxDevice: 1 };
    const [, device] = judge(evidence({ kernel }, { tx: 'kernel', rx: 'kernel' }));
    expect(device).toMatchObject({ check: 'live.device', verdict: 'info' });
    expect(device!.title).not.toContain('no network card');
    expect(device!.why).toMatch(/^By the counters a card encrypts/);
    expect(device!.why).toContain('all programs');
  });

  it('fails for a connection that node:tls carries, and for none', () => {
    const reason = {
      offloaded: false,
      reason: 'ERR_KTLS_CIPHER',
      detail: 'no such cipher',
    } as const;
    expect(judge(evidence({}, reason))[0]).toMatchObject({ verdict: 'fail' });
    expect(judge(evidence({}, reason))[0]!.why).toContain('ERR_KTLS_CIPHER');
    const refused = judge(evidence({ error: 'connect ECONNREFUSED' }, null));
    expect(refused[0]!.why).toContain('ECONNREFUSED');
  });

  it.each(['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'ERR_SSL_UNSUPPORTED_PROTOCOL'])(
    'takes %s for a fact where another version connected, and for a failure where none did',
    (code) => {
      const refused = evidence({ version: 'TLSv1.3', error: 'alert', code }, null);
      const [first] = judgeAll([refused, evidence({})]);
      expect(first).toMatchObject({ check: 'live.tls13', verdict: 'info' });
      expect(judgeAll([refused, refused]).map(({ verdict }) => verdict)).toEqual(['fail', 'fail']);
    },
  );

  it('does not excuse other failures by another version that connected', () => {
    const reset = evidence({ error: 'read ECONNRESET', code: 'ECONNRESET' }, null);
    expect(judgeAll([reset, evidence({})])[0]).toMatchObject({ verdict: 'fail' });
  });

  it('does not take for its own what others could not decrypt meanwhile', () => {
    const found = judge(evidence({ kernel: { TlsDecryptError: 1 } }));
    expect(found.map(({ check, verdict }) => [check, verdict])).toEqual([
      ['live.tls12', 'pass'],
      ['live.decrypt', 'info'],
      ['live.device', 'info'],
    ]);
  });
});
