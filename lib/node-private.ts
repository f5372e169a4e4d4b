/**
 * The only door to undocumented Node, which lives in `node-private/`. Each function there says which
 * internal it relies on, and is exercised by the tests on every supported Node, so that a change there
 * shows at once.
 */
export { HandleSocket } from './node-private/handle-socket.js';
export type { TcpHandle } from './node-private/internals.js';
export * from './node-private/modules.js';
export * from './node-private/proxy.js';
export * from './node-private/response.js';
export * from './node-private/server.js';
export * from './node-private/socket.js';
export * from './node-private/stream-handle.js';
export {
  adoptHandle,
  bindLives,
  isUnseen,
  succeed,
  type TakenOver,
} from './node-private/take-over.js';
export * from './node-private/tcp-handle.js';
export * from './node-private/tls-object.js';
