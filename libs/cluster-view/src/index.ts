export { type Action, type Advice, AdvisedError, type Changed } from './advice.ts';
export { type DiskPicture, disksOf, type NodePicture, nodesOf, type StorePicture, storesOf } from './catalogue.ts';
export { type Cluster, type ClusterNode, clusterFileSchema, parseCluster, readClusterFile } from './cluster-file.ts';
export { type EventFilter, EventFollower, type EventList, type EventNews, type EventPicture, newestEvents } from './events.ts';
export { type Followed, type FollowOptions, follow } from './following.ts';
export { describePull, memberName, type Note, type NoteMark, spanText } from './notes.ts';
export { ask, type Observation, type ObserveOptions, Observer, observe, type SeenClientNode, type SeenStorageNode } from './observe.ts';
export { findOperation, listOperations, type OperationList, type OperationPicture, type Unheard } from './operations.ts';
export { type Overview, overviewOf } from './overview.ts';
export { type ChosenPlace, choosePlaces, findDisk, findPlace } from './placing.ts';
export {
  type Check,
  type CreateOrder,
  type CreatePlan,
  chooseClient,
  findVolume,
  needMember,
  needVolume,
  type Plan,
  planCreate,
  planDelete,
  planMaintenance,
  planMap,
  planMemberAdd,
  planMemberRemove,
  planMemberReplace,
  planQuorum,
  planTakeover,
  planUnmap,
  serverOf,
  start,
} from './plans.ts';
export { type MemberPicture, type ResyncPicture, type VolumePicture, type VolumeState, volumesOf } from './volumes.ts';
