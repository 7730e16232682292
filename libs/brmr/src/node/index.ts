export { FileDisk, type FileDiskCounters, type FileDiskOptions, type FileDiskTuning } from './file-disk.ts';
export {
  type CreateStoreOptions,
  createStore,
  dataDigest,
  inspect,
  kernelBootId,
  type OpenStoreOptions,
  openStore,
} from './store-files.ts';
