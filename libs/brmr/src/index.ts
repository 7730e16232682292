export { PoolDevice, type PoolDeviceOptions } from './core/client/pool-device.ts';
export { commandService, type NodeStores } from './core/commands/command-service.ts';
export { type CommandWay, type NodePlace, sendCommand } from './core/commands/node-commander.ts';
export { type NodeAnswer, type NodeCommand, type StoreOrder, type StoreState, storeOrderSchema } from './core/commands/node-commands.ts';
export { type CheckedPlace, checkPlace, type StorePurpose, type WantedStore } from './core/disks/disk-checks.ts';
export type { DiskHealth } from './core/disks/disk-health.ts';
export {
  type DeviceFacts,
  DISKS_MAX,
  type DiskPlace,
  type DiskSpec,
  diskLabel,
  type PlaceContent,
  placeText,
  type Refusal,
  type ScannedPlace,
} from './core/disks/disk-types.ts';
export { type ChosenDisk, choosePlacement, type PlacementDisk, type PlacementNode } from './core/disks/placement.ts';
export type { SmartReport } from './core/disks/smart-report.ts';
export { handOver } from './core/operations/handover.ts';
export { type OperationInputs, type VolumeOperation, volumeOperationKinds } from './core/operations/kinds.ts';
export { isSameNode, type MemberOrder, memberPlace } from './core/operations/member-operations.ts';
export type { Mapping, OperatedPool, StorePlace, VolumeHost } from './core/operations/volume-host.ts';
export { type CreateOrder, createOrder, createProblem, doomedStores, usedProblem } from './core/operations/volume-operations.ts';
export {
  type DiskPace,
  type DoubtfulStores,
  KeptStore,
  type KeptStoreState,
  type OpenedStore,
  type StoreOpener,
  type StoreRegistry,
  type StoreSpec,
} from './core/server/kept-store.ts';
export { NbdDisk, type NbdDiskOptions, openNbdDisk } from './core/server/nbd-disk.ts';
export {
  NodeStoreService,
  type NodeStoreServiceParts,
  type RememberedStore,
  type StoreDisks,
  type StoreMemory,
} from './core/server/node-store-service.ts';
export { PoolStoreAdapter } from './core/server/pool-store-adapter.ts';
export { StoreKeeper, type StoreKeeperOptions } from './core/server/store-keeper.ts';
export { STORES_MAX, type StorePlaces, THREADS_KEPT, THREADS_PER_STORE, ThreadPlaces, threadsFor } from './core/server/thread-places.ts';
export { VOLATILE_CACHE_BYTES_MAX, VolatileCacheDisk } from './core/server/volatile-cache-disk.ts';
