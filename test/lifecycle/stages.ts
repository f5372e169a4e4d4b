/**
 * The stages of a connection's life, as bodies of scripts: each calls `reached()` when it stands there,
 * with both roles under way.
 */
export const stages: Record<string, string> = {
  'before the TCP connection stands': `
    const listener = server();
    const port = await listening(listener);
    connect(port).write('early');
    reached();
  `,
  'in the middle of a handshake': `
    const mute = net.createServer();
    mute.on('connection', (socket) => socket.once('data', (hello) => {
      const listener = server();
      listening(listener).then((port) => {
        const half = net.connect(port, '127.0.0.1');
        // Most of a ClientHello, then silence. The server has seen it when it has been there for a while.
        half.write(hello.subarray(0, -1));
        listener.on('connection', () => setImmediate(() => setImmediate(reached)));
      });
    }));
    connect(await listening(mute)).write('early');
  `,
  'with the connection established': `
    const { server: accepted, client } = await pair();
    accepted.resume();
    client.resume();
    reached();
  `,
  'with writes waiting for room': `
    const { server: accepted, client } = await pair();
    accepted.pause();
    client.pause();
    const flood = (socket) => new Promise((resolve) => {
      const chunk = Buffer.alloc(1 << 20);
      const more = () => socket.write(chunk, (error) => {
        if (!error) more();
      });
      for (let i = 0; i < 16; i++) more();
      setTimeout(resolve, 100);
    });
    await Promise.all([flood(accepted), flood(client)]);
    reached();
  `,
  'with an end that waits for room': `
    const { server: accepted, client } = await pair();
    accepted.pause();
    client.pause();
    for (const socket of [accepted, client]) {
      socket.end(Buffer.alloc(16 << 20));
    }
    setTimeout(reached, 100);
  `,
};
