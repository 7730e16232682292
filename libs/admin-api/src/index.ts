export { type AdminClient, type AdminClientOptions, adminError, createAdminClient } from './client.ts';
export { describeResync } from './describe-resync.ts';
export type { DiskStatus, Disks } from './disks.ts';
export { EVENT_SEVERITIES, type EventPage, type EventPageInput, type Events, type EventView } from './events.ts';
export { HEALTH_EXIT_CODES, worstHealth } from './health.ts';
export { type HealthLevels, HealthLog, type Watched } from './health-log.ts';
export {
  OPERATION_KINDS,
  OPERATION_STATES,
  type OperationKindName,
  type OperationListInput,
  type Operations,
  type OperationView,
} from './operations.ts';
export type { ForceMember, ForcePlan, PoolOrders } from './pool-orders.ts';
export { type Caller, mayAct, ROLES, type Role } from './roles.ts';
export { type AdminContext, type AdminRouter, type AdminService, adminRouter, errorAnswer } from './router.ts';
export { type ClientSessionView, clientSessionStatus } from './session-status.ts';
export {
  type ClientNodeStatus,
  type ClientPoolStatus,
  clientNodeStatusSchema,
  clientPoolStatusSchema,
  type ExportStatus,
  type LegStatus,
  type NodeStatus,
  type NodeStoreStatus,
  nodeStatusSchema,
  type ServerPoolStatus,
  type StorageNodeStatus,
  type StoreStatus,
  storageNodeStatusSchema,
} from './status.ts';
export type {
  Health,
  HealthLevel,
  IoCounters,
  MemberDirty,
  NodeIdentity,
  PathStatus,
  SessionStatus,
  VersionStatus,
  WaitingFor,
} from './status-common.ts';
export { versionStatus } from './status-common.ts';
export type { IoWait, ResyncStatus, SyncLegStatus } from './sync-status.ts';
export type {
  MaintenanceInput,
  MemberAddInput,
  MemberRemoveInput,
  MemberReplaceInput,
  QuorumInput,
  ResyncInput,
  StorePlace,
  VolumeCreateInput,
  VolumeDeleteInput,
  VolumeMapInput,
  VolumeOrders,
  VolumeTakeoverInput,
  VolumeUnmapInput,
} from './volume-orders.ts';
