export { type AdminClient, type AdminClientOptions, adminError, createAdminClient } from './client.ts';
export { describeResync } from './describe-resync.ts';
export { HEALTH_EXIT_CODES, worstHealth } from './health.ts';
export { type HealthLevels, HealthLog, type Watched } from './health-log.ts';
export type { ForceMember, ForcePlan, PoolOrders } from './pool-orders.ts';
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
export type { IoWait, ResyncStatus, SyncLegStatus } from './sync-status.ts';
