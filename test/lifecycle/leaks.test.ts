/** Nothing is left of a connection that is over. */
import { beforeAll, expect, it, vi } from 'vitest';
import { describeKernel } from '../support/kernel.js';
import { type Running, clean, scriptTimeout, startScript } from '../support/script.js';
import { times } from '../support/stress.js';

vi.setConfig(scriptTimeout);

const COUNT = times(20);

/** How a connection ends. */
const endings = {
  'the client ended': 'client.end("bye"); accepted.end();',
  'the server ended': 'accepted.end("bye"); client.end();',
  'the client destroyed': 'client.destroy();',
  'the server destroyed': 'accepted.destroy();',
  'both destroyed': 'accepted.destroy(); client.destroy();',
  'the client reset': 'client.resetAndDestroy();',
  'the server reset': 'accepted.resetAndDestroy();',
};

const counting = `
  const { count } = given;
  const listener = server();
  const port = await listening(listener);
  const resources = () => process.getActiveResourcesInfo();
  // What is there and was not; of what was, some may just have been ending.
  const more = (before, after) => after.filter((name) => {
    const at = before.indexOf(name);
    return at < 0 || !(before = before.toSpliced(at, 1));
  });
  const closed = (socket) => new Promise((resolve) => socket.on('close', resolve));
  const one = async (end) => {
    const secured = once(listener, 'secureConnection');
    const client = connect(port);
    client.on('error', () => undefined);
    client.write('x');
    const [accepted] = await secured;
    accepted.on('error', () => undefined);
    await once(accepted, 'data');
    accepted.resume();
    client.resume();
    const over = Promise.all([closed(client), closed(accepted)]);
    end(client, accepted);
    await over;
  };
  for await (const line of readline.createInterface(process.stdin)) {
    const end = new Function('client', 'accepted', line);
    await one(end);
    const before = { fds: sockets(), resources: resources(), inKernel: keys() };
    for (let i = 0; i < count; i++) await one(end);
    const same = () => sockets() <= before.fds && keys() <= before.inKernel &&
      more(before.resources, resources()).length === 0;
    for (let i = 0; i < 500 && !same(); i++) await delay(20);
    const after = { fds: sockets(), resources: resources(), inKernel: keys() };
    const connections = await new Promise((resolve) =>
      listener.getConnections((error, count) => resolve(count)));
    say('left', same() ? 'the same' : JSON.stringify({ before, after }), connections);
  }
  listener.close();
`;

describeKernel(`${COUNT} connections leave no fd, handle or kernel state behind`, () => {
  let script: Running;
  beforeAll(() => {
    script = startScript(counting, { given: { count: COUNT } });
  });

  for (const [ending, end] of Object.entries(endings)) {
    it(`that ${ending}`, async () => {
      script.tell(end);
      expect(await script.said('left')).toBe('the same 0');
    });
  }

  it('and a process that ends by itself', async () => {
    expect(await script.finish()).toMatchObject(clean);
  });
});
