// @ts-check
/** A CommonJS module that uses the declarations of the built package. Compiled, never run. */
const https = require('node:https');
const ktls = require('ktls');

/** @type {import('ktls').ClientSocket} */
const socket = ktls.connect({ port: 443, mode: 'prefer' });
/** @type {boolean} */
const offloaded = socket.offload.offloaded;
/** @type {https.Server} */
const server = ktls.offload(https.createServer());

// @ts-expect-error -- there is no such mode
ktls.default.createServer({ mode: 'always' });

module.exports = { offloaded, server };
