/** Nodes of a local cluster at most: each is a process of some 60 MiB. */
export const STORAGE_NODES_MAX = 16;
/** Client nodes of a local cluster at most: one serves, the others are rivals that claim the pool when it is gone. */
export const CLIENT_NODES_MAX = 4;
/** Members of a pool at most. */
export const REPLICAS_MAX = 8;
/** Paths of a session at most. */
export const PATHS_MAX = 8;
export const CHUNK_BYTES_MIN = 4096;
export const CHUNK_BYTES_MAX = 16 * 1024 * 1024;
/** The lowest rate of resync, per second. */
export const RESYNC_RATE_BYTES_MIN = 64 * 1024;
/** What block devices count in. */
export const SECTOR_BYTES = 512;

/** The longest path of a unix socket on Linux (sun_path without its terminating zero). */
export const SOCKET_PATH_BYTES_MAX = 107;

/** A daemon that does not answer after this time does not start. Bundled daemons need a third of a second; a busy host more. */
export const START_TIMEOUT_MS = 30_000;
/** How long a daemon may take to stop gracefully before it is told to stop at once. */
export const STOP_GRACE_MS = 15_000;
/** How long it may take after that before it is killed. */
export const STOP_AT_ONCE_MS = 5_000;
/** How long a command waits for another one that works on the same cluster. A start holds on longest. */
export const LOCK_TIMEOUT_MS = 60_000;
/** How often something is looked at again while waiting for it. */
export const POLL_MS = 50;
/** Lines of a daemon's log that an error shows. */
export const LOG_TAIL_LINES = 12;

/** The client node that `up` starts. */
export const WITNESS_NAME = 'witness';
export const FIRST_CLIENT_NAME = 'client-1';
/** The name under which the pool is exported. */
export const POOL_NAME = 'pool-1';
export const WEB_NAME = 'web';

export const DEFAULTS = {
  storageNodes: 2,
  replicas: 2,
  clientNodes: 1,
  sizeBytes: 1024 ** 3,
  chunkSizeBytes: 128 * 1024,
  transport: 'tcp',
  paths: 1,
} as const;

/** The disks of each storage node, for volumes that are made at run time. The witness has none. */
export const DISK_NAMES = ['disk-1', 'disk-2'] as const;
