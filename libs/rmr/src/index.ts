export {
  CHUNK_BYTES_DEFAULT,
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  COMMAND_TEXT_MAX,
  EXTENTS_BYTES_MAX,
  IO_BYTES_MAX,
  IO_UNITS_MAX,
  LEG_TIMEOUT_MS_DEFAULT,
  MEMBERS_MAX,
  QUEUE_DEPTH_DEFAULT,
  QUEUE_DEPTH_MIN,
  RANGE_BYTES_MAX,
} from './constants.ts';
export { PoolClientCounters } from './core/client/io/io-counters.ts';
export { IoRequest, type IoSink, type IoType } from './core/client/io/io-request.ts';
export type { ReadPolicyName } from './core/client/io/read-policy.ts';
export type { MemberAddress } from './core/client/legs/leg.ts';
export type { Difference } from './core/client/membership/differences.ts';
export type { LastCopies, OperationDone } from './core/client/membership/membership-operations.ts';
export { PoolClient } from './core/client/pool-client.ts';
export type { PoolClientOptions, PoolClientState, PoolClientStatus, PoolGeometry, WaitingFor } from './core/client/pool-client-types.ts';
export type { ForceMember, ForcePlan } from './core/client/recovery/force-plan.ts';
export type { TakeoverWay } from './core/client/recovery/takeover.ts';
export { RmrClient, type RmrClientOptions } from './core/client/rmr-client.ts';
export type { PoolWait, PoolWaitKind } from './core/client/status/pool-waits.ts';
export { onlyCopyBytes } from './core/server/chunks/only-copy.ts';
export type { PoolServer } from './core/server/pool-server.ts';
export { type ChunkWait, PoolServerCounters } from './core/server/pool-server-counters.ts';
export {
  NO_RESYNC_ORDER,
  type ResyncOptions,
  type ResyncOrder,
  type ResyncState,
  type ResyncStatus,
} from './core/server/resync/resync-types.ts';
export type { SessionOpener, SyncPeerStatus } from './core/server/resync/sync-peers.ts';
export { type CommandHandler, RmrServer } from './core/server/rmr-server.ts';
export { lacksSpaceSoon } from './core/server/space-watch.ts';
export { Sessions } from './core/sessions.ts';
export type { SessionOptions, SharedSession } from './core/shared-session.ts';
export { hasInPast } from './core/store-past.ts';
export type {
  ByteRange,
  DirtyChange,
  InSyncMember,
  LastIo,
  MemberRecord,
  MetadataChange,
  PoolPolicy,
  PoolStore,
  PromiseRecord,
  SeenMark,
  StoreIdentity,
  StoreLife,
  StoreMark,
  VersionRecord,
} from './pool-store.ts';
export type { LegState, ServerPoolState } from './states.ts';
export { compareVersions, formatVersion, isInSync, sameVersion } from './version.ts';
export type { HandoverWish } from './wire/control-message.ts';
export { decodeExtents } from './wire/extents.ts';
export { IoFlag, MessageType } from './wire/io-message.ts';
export { MESSAGE_PAYLOAD_BYTES_MAX } from './wire/unresolved-writes.ts';
