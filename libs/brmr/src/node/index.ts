export { FileDisk, type FileDiskCounters, type FileDiskOptions, type FileDiskTuning } from './file-disk.ts';
export { FileStoreOpener, type FileStoreSpec } from './file-store-opener.ts';
export {
  type CreateStoreOptions,
  createStore,
  dataDigest,
  inspect,
  kernelBootId,
  type OpenStoreOptions,
  openStore,
  openStoreOn,
} from './store-files.ts';
