/** The sources that mutants change. */
const CLIENT = 'libs/rmr/src/core/client';
const SERVER = 'libs/rmr/src/core/server';
const STORE = 'libs/bitmap-store/src';
const RTRS = 'libs/rtrs/src/core';

export const ENGINE = `${CLIENT}/io-engine.ts`;
export const POOL_CLIENT = `${CLIENT}/pool-client.ts`;
export const VERSIONS = `${CLIENT}/versions.ts`;
export const RECOVERY = `${CLIENT}/recovery.ts`;
export const ASSEMBLY = `${CLIENT}/assembly.ts`;
export const LEG_RETURN = `${CLIENT}/leg-return.ts`;
export const MAP_CHECKS = `${CLIENT}/map-checks.ts`;
export const POOL_SERVER = `${SERVER}/pool-server.ts`;
export const POOL_CONTROL = `${SERVER}/pool-control.ts`;
export const MAP_ADDS = `${SERVER}/map-adds.ts`;
export const RESYNC = `${SERVER}/resync.ts`;
export const SYNC_PEERS = `${SERVER}/sync-peers.ts`;
export const STORE_ADAPTER = 'libs/brmr/src/core/server/pool-store-adapter.ts';
export const BITMAP_STORE = `${STORE}/core/bitmap-store.ts`;
export const COMMIT_ENGINE = `${STORE}/core/commit-engine.ts`;
export const OPEN_STORE = `${STORE}/core/open-store.ts`;
export const WRITE_INTENT = `${STORE}/core/write-intent.ts`;
export const STORE_CONSTANTS = `${STORE}/constants.ts`;
export const RECORD = `${STORE}/format/record.ts`;
export const RTRS_CLIENT_SESSION = `${RTRS}/client-session.ts`;
export const RTRS_SERVER_SESSION = `${RTRS}/server-session.ts`;
export const MEMORY_DISK = 'libs/testing/src/memory-disk.ts';
