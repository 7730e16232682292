export { type ClusterFile, clusterFilePath, clusterFileSchema, readClusterFile } from './cluster-file.ts';
