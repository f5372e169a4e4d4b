/** What programs see of a client under kernel TLS before it is secured. */
import { afterAll, expect } from 'vitest';
import { testConnecting } from '../support/connecting.js';
import { isOffloaded } from '../support/connection.js';
import { describeKernel } from '../support/kernel.js';
import { onlyOpen, openSockets } from '../support/leaks.js';

const socketsBefore = openSockets();
afterAll(() => onlyOpen(socketsBefore));

describeKernel('a client that is going to be under kernel TLS', () => {
  testConnecting((socket) => {
    expect(isOffloaded(socket)).toBe(true);
  });
});
