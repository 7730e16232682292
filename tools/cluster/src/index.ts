export { type ClusterFile, clusterFilePath, clusterFileSchema, readClusterFile } from './cluster-file.ts';
export { layout } from './cluster-state.ts';
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
export { FIRST_CLIENT_NAME } from './constants.ts';
export { type NbdAddress, parseNbdUri } from './endpoints.ts';
export { logTail } from './node-process.ts';
export { type AskedOptions, type ClusterOptions, newClusterOptions } from './options.ts';
export { type ClusterReport, type NodeReport, processStates, report, serves, unconverged } from './report.ts';
export { type DataArea, dataAreas } from './stores.ts';
export { type UpRequest, type UpResult, up } from './up.ts';
