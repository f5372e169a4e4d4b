/** The link goes in the middle of a transfer, and comes back. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import * as ktls from '../../lib/index.js';
import { ecdsaCertificate } from '../support/certificates.js';
import { newMarker } from '../support/clear.js';
import { digest, readExactly } from '../support/connection.js';
import { FarProgram, farNamespace } from '../support/far-program.js';
import { change, describeNic, echo, peer, setCarrier, setLink } from '../support/nic.js';

/** Of this, three quarters are more than all buffers between the two ends have room for. */
const SIZE = 16 << 20;

/** Different lines with the marker in each. Without names from outside, for the far end has its source. */
const lines = (marker: string, size: number): Buffer =>
  Buffer.from(
    Array.from({ length: Math.ceil(size / marker.length) }, (_, line) => `${line} ${marker}`)
      .join('')
      .slice(0, size),
  );

/**
 * Takes a quarter of so many bytes, waits on standard input, takes the rest, tells their digest, is told to go
 * on, gives as many, then sends back what comes.
 */
const farEnd = (marker: string): FarProgram =>
  FarProgram.node(`
    const tls = await import('node:tls');
    const { createHash } = await import('node:crypto');
    const content = (${lines.toString()})(${JSON.stringify(marker)}, ${SIZE});
    const server = tls.createServer(${JSON.stringify(ecdsaCertificate())}, (socket) => {
      socket.on('error', (error) => console.log('error', error.message));
      const hash = createHash('sha256');
      let length = 0;
      const take = (data) => {
        hash.update(data);
        const before = length;
        length += data.length;
        if (before < ${SIZE / 4} && length >= ${SIZE / 4}) {
          console.log('quarter');
          socket.pause();
          process.stdin.once('data', () => socket.resume());
        }
        if (length < ${SIZE}) return;
        socket.off('data', take);
        socket.once('data', () => {
          socket.write(content);
          socket.on('data', (data) => socket.write(data));
        });
        socket.write(hash.digest('hex'));
      };
      socket.on('data', take);
    });
    server.listen(0, '${peer.address}', () => console.log('port', server.address().port));
  `);

/**
 * Looks at every packet where it arrives, behind the card. Its memory is large enough for what it may not
 * come to look at for a while; what it has missed it says.
 */
const sniffer = (marker: string): FarProgram =>
  new FarProgram([
    'python3',
    '-c',
    `
import select, socket, struct, sys
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
packets.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE
packets.bind(('${peer.name}', 0))
marker, seen, clear = b'${marker.trim()}', 0, 0
print('ready', flush=True)
while True:
    ready, _, _ = select.select([packets, sys.stdin], [], [])
    if packets in ready:
        packet = packets.recv(1 << 17)
        seen += len(packet)
        clear += marker in packet
    elif sys.stdin.read() == '':
        break
missed = struct.unpack('II', packets.getsockopt(263, 6, 8))[1]  # PACKET_STATISTICS
print('verdict', seen, clear, missed, flush=True)
`,
  ]);

/** How often TCP has sent something again because no answer came, at either end. */
function vainAttempts(): number {
  const far = ['netns', 'exec', farNamespace];
  return [['cat'], ['ip', ...far, 'cat']]
    .map(([program, ...args]) =>
      execFileSync(program!, [...args, '/proc/net/netstat'], { encoding: 'latin1' }),
    )
    .flatMap((text) => {
      const [names, values] = text.split('\n').map((line) => line.split(' '));
      return ['TCPTimeouts', 'TCPWinProbe'].map((name) => Number(values![names!.indexOf(name)]));
    })
    .reduce((sum, count) => sum + count, 0);
}

/** Until TCP has noticed. */
async function cut(down: () => void, up: () => void, goOn?: () => void): Promise<void> {
  down();
  try {
    goOn?.();
    const before = vainAttempts();
    await expect.poll(vainAttempts, { interval: 200, timeout: 120_000 }).toBeGreaterThan(before);
  } finally {
    up();
  }
}

const losses = [
  ['the interface goes down', () => setLink('down'), () => setLink('up'), 'software'],
  ['the carrier is lost', () => setCarrier('off'), () => setCarrier('on'), 'device'],
] as const;

describeNic('where', (far) => {
  for (const [loss, down, up, afterwards] of losses) {
    it.each(['sending', 'receiving'] as const)(
      `${loss} while the card is %s, nothing is lost and nothing goes in clear`,
      { timeout: 600_000 },
      async (direction) => {
        const marker = newMarker();
        await using server = farEnd(marker);
        await using watcher = sniffer(marker);
        await watcher.said('ready');
        const socket = ktls.connect({
          host: peer.address,
          port: Number(await server.said('port')),
          rejectUnauthorized: false,
          maxVersion: 'TLSv1.2',
        });
        await once(socket, 'secureConnect');
        expect(socket.offload).toMatchObject({ tx: 'device', rx: 'device' });

        const content = lines(marker, SIZE);
        socket.write(content);
        const told = readExactly(socket, 64);
        await server.said('quarter');
        const goOn = (): void => server.tell('go on');
        if (direction === 'sending') await cut(down, up, goOn);
        else goOn();
        expect((await told).toString()).toBe(digest(content));

        socket.write('go on');
        const quarter = await readExactly(socket, SIZE / 4);
        const rest = readExactly(socket, SIZE - SIZE / 4);
        if (direction === 'receiving') await cut(down, up);
        expect(digest(Buffer.concat([quarter, await rest]))).toBe(digest(content));

        const moved = await change(() => echo(socket, 1 << 16));
        expect(moved['tx_tls_encrypted_bytes']! > 0 ? 'device' : 'software').toBe(afterwards);
        expect(moved['TlsDecryptError']).toBe(0);
        socket.destroy();
        watcher.finish();
        const [seen, clear, missed] = (await watcher.said('verdict')).split(' ').map(Number);
        expect(seen).toBeGreaterThan(2 * SIZE);
        expect({ clear, missed }).toEqual({ clear: 0, missed: 0 });
      },
    );
  }

  it('the link has come back, new connections are on the card again', async () => {
    setLink('down');
    setLink('up');
    expect(await far.exchange('TLSv1.2', 1 << 16)).toMatchObject({ tx: 'device', rx: 'device' });
  });
});
