/** The public names of `ktls`, and nothing else. */
import { connect } from './connect.js';
import { deviceOptions } from './kernel/device-path.js';
import { stats } from './kernel/host-stats.js';
import { probe } from './kernel/probe.js';
import { sendFile } from './send-file.js';
import { createServer, offload } from './server.js';
import { OffloadedSocket } from './socket/offloaded-socket.js';

export { connect, createServer, deviceOptions, offload, OffloadedSocket, probe, sendFile, stats };
export { KtlsError, type KtlsErrorCode } from './errors.js';
export type { ClientSocket, ConnectOptions } from './connect.js';
export type { UserSpaceSocket } from './decorate.js';
export type { TlsCounters } from './kernel/counters.js';
export type { HostStats, StatsOptions } from './kernel/host-stats.js';
export type { CipherSupport, KernelSupport } from './kernel/probe.js';
export type { TlsModule } from './kernel/tls-module.js';
export type { TlsSocket, TlsSocketMode } from './kernel/tls-sockets.js';
export type { ServerSocket } from './server.js';
export type { OffloadMode, OffloadOptions, SendFileInit } from './options.js';
export type { FileSource, ReadStreamLike } from './socket/file-source.js';
export type { OffloadMedium, OffloadState } from './socket/offload-state.js';

export default {
  connect,
  createServer,
  deviceOptions,
  offload,
  OffloadedSocket,
  probe,
  sendFile,
  stats,
};
