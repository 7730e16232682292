export { type Cluster, type ClusterNode, clusterFileSchema, parseCluster, readClusterFile } from './cluster-file.ts';
export { type Followed, type FollowOptions, follow } from './following.ts';
export { ask, type Observation, observe, type SeenClientNode, type SeenStorageNode } from './observe.ts';
export { type Note, type Overview, overviewOf } from './overview.ts';
export { type ChosenPlace, choosePlaces, findPlace } from './placing.ts';
export { type MemberPicture, type VolumePicture, volumesOf } from './volumes.ts';
