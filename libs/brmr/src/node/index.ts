export { CatalogueStoreDisks, type NodeNames } from './disks/catalogue-store-disks.ts';
export type { DiskReport, ExportOpener } from './disks/catalogued-disk.ts';
export { DirectoryRecordFile, type DirectoryRecords } from './disks/directory-records.ts';
export {
  type CreateAcceptance,
  type CreatedStore,
  DiskCatalogue,
  type DiskCatalogueOptions,
  type FoundPlace,
} from './disks/disk-catalogue.ts';
export type { NewStore } from './disks/disk-stores.ts';
export { FileDisk, type FileDiskCounters, type FileDiskOptions, type FileDiskTuning } from './file-disk.ts';
export { FileStoreOpener, type FileStoreSpec } from './file-store-opener.ts';
export { NbdStoreOpener, StoreOpeners } from './nbd-store-opener.ts';
export {
  type CreateStoreOptions,
  createStore,
  dataDigest,
  dataDigests,
  inspect,
  kernelBootId,
  type OpenStoreOptions,
  openStore,
  openStoreOn,
  type PieceDigest,
} from './store-files.ts';
