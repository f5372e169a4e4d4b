import { expect, it } from 'vitest';
import { jsonLine, logLine } from '../../../lib/serving/access-log.js';

const served = {
  address: '::1',
  date: new Date(2026, 0, 2, 3, 4, 5),
  method: 'GET',
  url: '/a',
  httpVersion: '1.1',
  status: 200,
  bytes: 5,
  offloaded: true,
};

it('writes the Common Log Format', () => {
  expect(logLine(served)).toMatch(
    /^::1 - - \[02\/Jan\/2026:03:04:05 [+-]\d{4}\] "GET \/a HTTP\/1\.1" 200 5$/,
  );
});

it('writes JSON', () => {
  expect(JSON.parse(jsonLine(served))).toEqual({ ...served, date: served.date.toISOString() });
});

it('lets no request write a line of its own', () => {
  const line = logLine({ ...served, url: '/"\\\r\n\x1b[2Jä', address: undefined, bytes: 0 });
  expect(line).toMatch(/^- - - /);
  expect(line).toContain('"GET /\\"\\\\\\x0d\\x0a\\x1b[2J\\xc3\\xa4 HTTP/1.1" 200 -');
});
