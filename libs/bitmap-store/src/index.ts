export { CHUNK_BYTES_DEFAULT, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, FORMAT_VERSION, LAST_IO_ENTRIES_MAX, MEMBER_SLOTS } from './constants.ts';
export { BitmapStore, type StoreCounters, type StoreWorld } from './core/bitmap-store.ts';
export { type CreateOptions, createStore, storeBytes } from './core/create-store.ts';
export { inspectStore, inspectSuperblocks, type StoreInspection, type SuperblockInspection } from './core/inspect-store.ts';
export type { ExpectedStore } from './core/load-store.ts';
export { type OpenOptions, openStore } from './core/open-store.ts';
export { STORE_HEAD_BYTES, storeRemains, type WipeOptions, wipeStore } from './core/wipe-store.ts';
export type { StoreRemains } from './format/remains.ts';
export type {
  ByteRange,
  DirtyChange,
  InSyncMember,
  LastIo,
  MemberRecord,
  MetadataChange,
  PoolPolicy,
  PromiseRecord,
  SeenMark,
  StoreLife,
  StoreMark,
  StoreParameters,
  VersionRecord,
} from './types.ts';
