export type {
  ClientPathState,
  ClientSessionState,
  PathInfo,
  PathPolicy,
  RtrsClientHandler,
  RtrsClientOptions,
  RtrsResponseSink,
  SessionLimits,
} from './client-types.ts';
export {
  CONTROL_PERMITS,
  PATHS_MAX,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_BYTES_MIN,
  QUEUE_DEPTH_MAX,
  RESPONSE_HEADER_BYTES_MAX,
  SESSIONS_MAX,
  USER_HEADER_BYTES_MAX,
} from './constants.ts';
export { RtrsClientSession } from './core/client-session.ts';
export { RtrsServer } from './core/server.ts';
export { RtrsServerRequest } from './core/server-request.ts';
export { RtrsServerSession } from './core/server-session.ts';
export { RtrsCounters } from './counters.ts';
export { invalidIdentity, type PeerIdentity, sameIncarnation } from './identity.ts';
export type { RtrsServerHandler, RtrsServerOptions, ServerPathInfo, ServerSessionState } from './server-types.ts';
