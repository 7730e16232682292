export {
  type PathInfo,
  type RtrsClientHandler,
  RtrsClientSession,
  RtrsServer,
  type RtrsServerHandler,
  RtrsServerRequest,
  RtrsServerSession,
} from './api.ts';
export type {
  ClientPathState,
  ClientSessionState,
  PathPolicy,
  RtrsClientOptions,
  RtrsResponseSink,
  SessionLimits,
} from './client-types.ts';
export {
  CONTROL_PERMITS,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_BYTES_MIN,
  QUEUE_DEPTH_MAX,
  RESPONSE_HEADER_BYTES_MAX,
  USER_HEADER_BYTES_MAX,
} from './constants.ts';
export { invalidIdentity, type PeerIdentity, sameIncarnation } from './identity.ts';
export type { RtrsServerOptions, ServerSessionState } from './server-types.ts';
