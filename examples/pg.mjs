// PostgreSQL over kernel TLS: pg asks for TLS in clear first, and ktls/register takes it from there.
//   PGHOST=db.example.com PGUSER=me PGDATABASE=mine node examples/pg.mjs
// Ahead of pg, which loads node:tls; `node --import ktls/register` does the same.
import 'ktls/register';
import { readFileSync } from 'node:fs';
import pg from 'pg';

const { CA } = process.env;

const client = new pg.Client({ ssl: CA ? { ca: readFileSync(CA) } : true });
await client.connect();
const { offloaded, reason } = client.connection.stream.offload;
console.log(`client: ${offloaded ? 'kernel' : reason}`);
const { rows } = await client.query('select version()');
console.log(rows[0].version);
await client.end();
