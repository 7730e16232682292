export { type ClusterFile, clusterFilePath, clusterFileSchema, readClusterFile } from './cluster-file.ts';
export {
  checksum,
  down,
  kill,
  losePower,
  type MemberDigest,
  pauseNode,
  powerCycle,
  resumeNode,
  setPartition,
  start,
  waitUntilConverged,
  waitUntilHealthy,
  waitUntilUp,
} from './commands.ts';
export { type NbdAddress, parseNbdUri } from './endpoints.ts';
export { type AskedOptions, type ClusterOptions, newClusterOptions } from './options.ts';
export { type ClusterReport, type NodeReport, report, serves, unconverged } from './report.ts';
export { type UpRequest, type UpResult, up } from './up.ts';
