import {
  describeResync,
  type Health,
  type IoCounters,
  type NodeStoreStatus,
  type ResyncStatus,
  type ServerPoolStatus,
  type SessionStatus,
  versionStatus,
  type WaitingFor,
  type Watched,
  worstHealth,
} from '@rmr/admin-api';
import type { KeptStore, StoreKeeper } from '@rmr/brmr';
import { lacksSpaceSoon, onlyCopyBytes, type PoolServer } from '@rmr/rmr';
import type { RtrsServerSession } from '@rmr/rtrs';
import { formatSize } from '@rmr/runtime';

/** An open store, with its pool. */
export interface AttachedStore {
  readonly kept: KeptStore;
  readonly pool: PoolServer;
}

/** All stores that are open at the moment. */
export function attachedStores(keeper: StoreKeeper): readonly AttachedStore[] {
  return keeper.stores.flatMap((kept) => (kept.pool === null ? [] : [{ kept, pool: kept.pool }]));
}

/** The health of the node is that of its worst store or pool. A node with disks and without stores has nothing to do yet. */
export function nodeHealth(pools: readonly ServerPoolStatus[], stores: readonly NodeStoreStatus[], disks: number): Health {
  if (stores.length === 0 && disks > 0) return { level: 'healthy', sentence: 'no store is on the disks of this node yet' };
  if (stores.length === 0) return { level: 'down', sentence: 'no store is open: the configuration names no store and no disk' };
  return worstHealth(
    [...stores, ...pools].map(({ health }) => health),
    pools.length === 1 ? (pools[0] as ServerPoolStatus).health.sentence : `all ${pools.length} pools are served`,
  );
}

/** The status of one store of the configuration, whether it is open or not. */
export function storeStatus(kept: KeptStore): NodeStoreStatus {
  const { spec, state, reason, sinceWallMs, identity, pool, waitsFor, remedy } = kept;
  const since = new Date(sinceWallMs).toISOString();
  const { path } = spec;
  const member = identity === null ? '' : ` (member ${identity.memberId} of pool ${identity.poolName})`;
  const space = spaceStatus(pool);
  return {
    path,
    uuid: identity?.storeUuid ?? null,
    pool: identity === null ? null : { name: identity.poolName, uuid: identity.poolUuid, memberId: identity.memberId },
    state: pool === null ? 'DETACHED' : pool.state === 'NORMAL' ? 'MAPPED' : 'OPEN',
    reason,
    since,
    waitingFor: waitsFor === null ? null : { what: waitsFor, since, remedy },
    space,
    health:
      state === 'ATTACHED'
        ? openHealth(kept, `${path}${member}`, space)
        : { level: 'down', sentence: `${path}${member} is not open: ${reason}` },
  };
}

/** The health of an open store. It tells the most pressing trouble alone, in this order: no space at all, a slow disk, little space. */
function openHealth({ slowSinceWallMs, pace, spec }: KeptStore, store: string, space: NodeStoreStatus['space']): Health {
  const lack = spaceHealth(store, space);
  if (slowSinceWallMs === null || pace === null || (space !== null && space.fullSince !== null))
    return lack ?? { level: 'healthy', sentence: `${store} is open` };
  const { oldestMs, unwrittenBytes, bytesPerSecond } = pace;
  const speed = bytesPerSecond === null ? '' : ` at ${formatSize(Math.round(bytesPerSecond))}/s`;
  const oldest = oldestMs === 0 ? 'It answers at the moment' : `Its oldest request has been under way for ${Math.round(oldestMs / 1000)} s`;
  return {
    level: 'degraded',
    sentence: `${store} is open, and its disk has been slow since ${new Date(slowSinceWallMs).toISOString()}. ${oldest}; at most ${formatSize(unwrittenBytes)} are left to write${speed}. Check the load and the state of the disk of ${spec.path}`,
  };
}

/** The space of the file system that an open store is on. Null: the store is not open, or its space is not known. */
function spaceStatus(pool: PoolServer | null): NodeStoreStatus['space'] {
  const space = pool?.store.space ?? null;
  if (space === null) return null;
  const { fullSinceMs = null } = pool ?? {};
  return { ...space, fullSince: fullSinceMs === null ? null : new Date(fullSinceMs).toISOString() };
}

/** The health of a store with regard to its space. Null: there is nothing to tell. */
function spaceHealth(name: string, space: NodeStoreStatus['space']): Health | null {
  if (space === null) return null;
  const free = `its file system has ${formatSize(space.freeBytes)} of ${formatSize(space.totalBytes)} free`;
  if (space.fullSince !== null)
    return { level: 'degraded', sentence: `${name} is full since ${space.fullSince}: ${free}; writes that need space are refused` };
  if (!lacksSpaceSoon(space)) return null;
  return {
    level: 'degraded',
    sentence: `${name} is running out of space: ${free}, and the store may still take ${formatSize(space.wantedBytes)}`,
  };
}

/** The status of one pool's member. */
export function poolStatus({ kept, pool }: AttachedStore): ServerPoolStatus {
  const { store, counters } = pool;
  const { identity, version, promise } = store;
  const described = pool.describe();
  const since = new Date(described.sinceMs).toISOString();
  const io: IoCounters = {
    reads: counters.reads,
    writes: counters.writes,
    flushes: counters.flushes,
    trims: counters.discards,
    writeZeroes: counters.writeZeroes,
    readBytes: counters.readBytes,
    writtenBytes: counters.writtenBytes,
    errors: counters.errors,
    inFlight: pool.executing,
  };
  const sync = resyncStatus(pool);
  const memberIds = new Set([...store.members.map((member) => member.memberId), identity.memberId]);
  return {
    name: identity.poolName,
    uuid: identity.poolUuid,
    memberId: identity.memberId,
    state: described.state,
    reason: described.reason,
    since,
    promised: promise,
    version: versionStatus(version),
    chunkSizeBytes: identity.chunkSizeBytes,
    queueDepth: identity.queueDepth,
    store: {
      path: kept.spec.path,
      uuid: identity.storeUuid,
      state: described.state === 'NORMAL' ? 'MAPPED' : 'OPEN',
      sizeBytes: identity.sizeBytes,
      volatileLost: store.volatileLost,
      intentBytes: store.intentRanges().reduce((sum, range) => sum + range.lengthBytes, 0),
    },
    onlyCopyBytes: onlyCopyBytes(store),
    dirty: [...memberIds].sort((a, b) => a - b).map((memberId) => ({ memberId, dirtyBytes: store.dirtyBytes(memberId) })),
    sync,
    syncLegs: pool.peers().map(({ addresses, problem, ...peer }) => ({ ...peer, addresses: [...addresses], reason: problem })),
    waits: pool.waits().map(({ what, requests, sinceMs, remedy }) => ({
      kind: 'CHUNK',
      what,
      since: new Date(sinceMs).toISOString(),
      requests,
      remedy,
    })),
    io,
    counters: {
      rejected: counters.rejected,
      chunkWaits: counters.chunkWaits,
      bounces: counters.bounces,
      syncReads: counters.syncReads,
      syncReadBytes: counters.syncReadBytes,
      passedWrites: counters.passedWrites,
    },
    waitingFor: memberWaitsFor(pool, since),
    health: poolHealth(pool, sync, kept.spec.path),
  };
}

/** How many of the ranges that a disk fails to take are named in a status. */
const RANGES_NAMED = 16;
const REPLACE_DISK = "Replace the disk, and the member's store (client-node replace-store).";

/** The health of one pool's member, for the log, with what a person can do about it. */
export function watchedPool(attached: AttachedStore): Watched {
  const { name, memberId, health, waitingFor, sync } = poolStatus(attached);
  return { pool: name, member: memberId, health, remedy: waitingFor?.remedy ?? sync.remedy };
}

/** What a member waits for while it serves no IO. Null: it serves IO, or it is a witness that votes for a client. */
export function memberWaitsFor(pool: PoolServer, since: string): WaitingFor | null {
  const { draining, state, holder } = pool.describe();
  const { witness, poolName } = pool.store.identity;
  if (draining) return { what: `${pool.executing} requests of the former client to end`, since };
  if (state === 'NORMAL' || (witness === true && holder !== null)) return null;
  if (holder !== null) return { what: `${holder} to bring the pool into service`, since };
  const remedy = `Start a client node that is configured for pool ${poolName}. If one runs already, its status says why it does not ask.`;
  return { what: witness === true ? 'a client to ask for its vote' : 'a client to claim the pool', since, remedy };
}

/** The status of resync of one pool's member. */
export function resyncStatus(pool: PoolServer): ResyncStatus {
  const { state, sinceMs, bytesLeft, bytesPerSecond, etaSeconds, sourceMemberIds, reason, pulledBytes, refused } = pool.resync.status();
  const { members } = pool.store;
  // A member that is not NORMAL pulls nothing. The pool's status says what it waits for.
  const why = bytesLeft > 0 && pool.state !== 'NORMAL' ? 'the member is not in sync; it pulls once it is' : reason;
  const moves = bytesLeft > 0 && why === '' && bytesPerSecond > 0;
  return {
    state,
    since: new Date(sinceMs).toISOString(),
    bytesLeft,
    bytesPerSecond: moves ? bytesPerSecond : 0,
    etaSeconds: moves ? etaSeconds : null,
    sources: sourceMemberIds.map((memberId) => ({
      memberId,
      name: members.find((member) => member.memberId === memberId)?.name ?? `member ${memberId}`,
    })),
    reason: bytesLeft > 0 ? why : '',
    remedy: resyncRemedy(pool, bytesLeft, refused.length > 0),
    pulledBytes,
    refusedBytes: refused.reduce((sum, range) => sum + range.lengthBytes, 0),
    refusedRanges: refused.slice(0, RANGES_NAMED).map((range) => ({ ...range })),
    paused: pool.resync.order.paused,
    limitBytesPerSecond: pool.resync.order.rateBytes,
  };
}

function resyncRemedy(pool: PoolServer, bytesLeft: number, isRefused: boolean): string | undefined {
  if (bytesLeft === 0) return undefined;
  if (isRefused) return REPLACE_DISK;
  return pool.resync.order.paused ? `End the pause: rmrctl resync resume ${pool.store.identity.poolName}` : undefined;
}

function poolHealth(pool: PoolServer, sync: ResyncStatus, path: string): Health {
  const { identity } = pool.store;
  const { state, reason } = pool.describe();
  if (identity.witness === true) return witnessHealth(pool);
  const name = `member ${identity.memberId} of pool ${identity.poolName}`;
  const alone = onlyCopyBytes(pool.store);
  const besides = alone === 0 ? '' : `; it holds the only copy of ${formatSize(alone)} of pool ${identity.poolName}`;
  if (state !== 'NORMAL') return { level: 'down', sentence: `${name} serves no IO (${state}): ${reason}${besides}` };
  const { fullSinceMs } = pool;
  if (fullSinceMs !== null) {
    const pulls = sync.bytesLeft === 0 ? '' : `; it still has to pull ${formatSize(sync.bytesLeft)}`;
    const since = new Date(fullSinceMs).toISOString();
    return { level: 'degraded', sentence: `${name} serves IO, and has refused writes for lack of space since ${since}${pulls}${besides}` };
  }
  const [first] = sync.refusedRanges;
  if (first !== undefined) {
    const where = `${sync.refusedBytes} bytes, the first at device offset ${first.offsetBytes}`;
    return {
      level: 'degraded',
      sentence: `${name} is in sync, but the disk of ${path} fails to take ${where}: only other members have that data. ${REPLACE_DISK}${besides}`,
    };
  }
  if (sync.bytesLeft > 0)
    return { level: 'degraded', sentence: `${name} is in sync and pulls what it missed: ${describeResync(sync)}${besides}` };
  return { level: alone === 0 ? 'healthy' : 'degraded', sentence: `${name} is in sync and serves IO${besides}` };
}

/** The health of a witness. A witness never serves IO. It is healthy when it votes for a client. */
function witnessHealth(pool: PoolServer): Health {
  const { poolName } = pool.store.identity;
  const { holder } = pool.describe();
  if (holder === null) return { level: 'degraded', sentence: `the witness of pool ${poolName} waits for a client to ask for its vote` };
  return { level: 'healthy', sentence: `the witness of pool ${poolName} votes for ${holder}` };
}

/** The status of a session that a client has opened. Its paths are not listed here: the client's own status lists them. */
export function sessionStatus(session: RtrsServerSession): SessionStatus {
  return {
    peerName: session.peer.hostName,
    peerHostUuid: session.peer.hostUuid,
    side: 'server',
    state: session.state,
    queueDepth: session.limits.queueDepth,
    inFlight: session.executing,
    paths: [],
  };
}
