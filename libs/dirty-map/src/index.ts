export { ChunkGrid } from './chunk-grid.ts';
export { CHUNKS_PER_LEAF, type ChunkRun, DirtyMap, LEAF_BYTES, type LeafState } from './dirty-map.ts';
