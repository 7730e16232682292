export { SimulatedDriver } from './driver.ts';
export {
  HEALTHY,
  newDisk,
  newMember,
  newVolume,
  SINCE,
  type SimulatedDisk,
  type SimulatedMember,
  type SimulatedState,
  type SimulatedVolume,
  uuidOf,
} from './model.ts';
export { SimulatedCluster, type SimulatedClusterOptions, type SimulatedNode } from './simulated-cluster.ts';
