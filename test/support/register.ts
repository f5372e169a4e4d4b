/** What the tests of `ktls/register` share: a program that knows nothing of this package. */

export const preload = ['--import', 'ktls/register'];

/** Says which of its connections are offloaded: through https, http2, fetch's dispatcher and tls. */
export const everything = `
  const { default: https } = await import('node:https');
  const { default: http2 } = await import('node:http2');
  const insecure = { rejectUnauthorized: false, host: '127.0.0.1' };
  const says = (socket) => socket.offload.offloaded + ' ' + (socket instanceof tls.TLSSocket);
  const serve = async (name, server, ask) => {
    server.on('secureConnection', (socket) => say(name, 'server', says(socket)));
    await ask(await listening(server));
    server.close();
  };
  const request = (agent) => async (port) => {
    const message = await new Promise((resolve) => https.get({ ...insecure, port, agent }, resolve));
    say('https client', says(message.socket));
    message.resume();
    await once(message, 'end');
  };
  const respond = (request, response) => response.end('x');
  await serve('https', https.createServer(certificate, respond), request(new https.Agent()));
  await serve('https', new https.Server(certificate, respond), request(false));
  await serve('http2', http2.createSecureServer(certificate, respond), async (port) => {
    const session = http2.connect('https://127.0.0.1:' + port, insecure);
    const stream = session.request({ ':path': '/' });
    stream.resume();
    await once(stream, 'end');
    say('http2 client', says(session.socket));
    session.close();
    await once(session, 'close');
  });
  for (const make of [(o) => tls.createServer(o), (o) => new tls.Server(o), (o) => tls.Server(o)]) {
    await serve('tls', make(certificate), async (port) => {
      const socket = tls.connect({ ...insecure, port });
      await once(socket, 'secureConnect');
      say('tls client', says(socket));
      socket.end();
      socket.resume();
      await once(socket, 'close');
    });
  }
`;
export const allOffloaded = [
  ...['https client', 'https client', 'https server', 'https server'],
  ...['http2 client', 'http2 server'],
  ...['tls client', 'tls client', 'tls client', 'tls server', 'tls server', 'tls server'],
].map((who) => `${who} true true`);
export const lines = (text: string): string[] => text.split('\n').filter(Boolean).sort();
