import { type ClientNodeStatus, type ClientPoolStatus, type Health, type IoCounters, type WaitingFor, worstHealth } from '@rmr/admin-api';
import type { NbdServer } from '@rmr/nbd';
import type { PoolClient, PoolClientStatus } from '@rmr/rmr';
import { formatSize, type World } from '@rmr/runtime';
import type { ClientPoolConfig } from './config.ts';

/** A pool that this node maps: its configuration and its client. */
export interface MappedPool {
  readonly config: ClientPoolConfig;
  readonly client: PoolClient;
}

/** The health of the node: the worst of its pools. */
export function nodeHealth(pools: readonly ClientPoolStatus[]): Health {
  if (pools.length === 0) return { level: 'down', sentence: 'no pool is mapped: the configuration names none' };
  return worstHealth(
    pools.map((pool) => pool.health),
    pools.length === 1 ? (pools[0] as ClientPoolStatus).health.sentence : `all ${pools.length} pools are served by all of their members`,
  );
}

/** One pool's status. */
export function poolStatus({ config, client }: MappedPool): ClientPoolStatus {
  const status = client.status();
  const { counters } = client;
  const { version, geometry } = status;
  const io: IoCounters = {
    reads: counters.reads,
    writes: counters.writes,
    flushes: counters.flushes,
    trims: counters.discards,
    writeZeroes: counters.writeZeroes,
    readBytes: counters.readBytes,
    writtenBytes: counters.writtenBytes,
    errors: counters.errors,
    inFlight: status.executing,
  };
  return {
    name: status.poolName,
    uuid: status.poolUuid,
    state: serviceOf(status),
    reason: status.waitingFor?.what ?? (status.versionChangePending ? 'a version is being recorded' : 'served'),
    since: isoTime(status.stateSinceMs),
    epoch: status.epoch === 0 ? null : status.epoch,
    version:
      version === null
        ? null
        : {
            lineageUuid: version.lineageUuid,
            epoch: version.epoch,
            seq: version.seq,
            inSync: version.inSync.map((member) => member.memberId).sort((a, b) => a - b),
          },
    sizeBytes: geometry?.sizeBytes ?? null,
    chunkSizeBytes: geometry?.chunkSizeBytes ?? null,
    queueDepth: config.queueDepth,
    readPolicy: config.readPolicy,
    quorum: status.policy.quorum,
    witness:
      status.witness === null
        ? null
        : {
            name: status.witness.name,
            connected: status.witness.connected,
            ready: status.witness.ready,
            reason: status.witness.problem,
            waitingFor: waitingFor(status.witness.waitingFor),
          },
    versionChangePending: status.versionChangePending,
    legs: status.legs.map((leg) => ({
      memberId: leg.memberId,
      name: leg.name,
      addresses: [...leg.addresses],
      storeUuid: leg.storeUuid,
      state: leg.state,
      reason: leg.reason,
      since: isoTime(leg.sinceMs),
      connected: leg.connected,
      inSync: leg.inSync,
      maintenance: leg.maintenance,
      dirtyBytes: leg.dirtyBytes,
      inFlight: leg.inFlight,
      waitingFor: waitingFor(leg.waitingFor),
    })),
    io,
    counters: { readRetries: counters.readRetries, overlapHolds: counters.overlapHolds, bounces: counters.bounces },
    waitingIo: status.waiting,
    oldestIoSince: status.oldestIoSinceMs === null ? null : isoTime(status.oldestIoSinceMs),
    waits: status.waits.map(({ kind, what, sinceMs, requests, remedy }) => ({ kind, what, since: isoTime(sinceMs), requests, remedy })),
    lost: lostData(status.lost),
    unreadable: lostData(status.unreadable),
    withoutCleanCopy: status.withoutCleanCopy,
    owedBytes: status.owedBytes,
    waitingFor: waitingFor(poolWaitsFor(status)),
    health: poolHealth(status),
  };
}

function lostData(lost: PoolClientStatus['lost']): ClientPoolStatus['lost'] {
  return lost === null ? null : { bytes: lost.bytes, ranges: lost.ranges.map((range) => ({ ...range })) };
}

type Waiting = NonNullable<PoolClientStatus['waitingFor']>;

/** Without a quorum IO is held although there are members that could execute it. */
function serviceOf({ state, waitingFor: pauses }: PoolClientStatus): ClientPoolStatus['state'] {
  if (state === 'SERVING') return pauses === null ? 'SERVING' : 'WAITING';
  return state === 'STOPPING' ? 'SERVING' : state === 'RECOVERING' ? 'WAITING' : 'STOPPED';
}

function poolWaitsFor(status: PoolClientStatus): Waiting | null {
  const waiting: Waiting | undefined = status.waitingFor ?? status.waits[0];
  if (waiting !== undefined) return waiting;
  return status.state === 'STOPPING' ? { what: 'its last flush, and its members to be released', sinceMs: status.stateSinceMs } : null;
}

/** Whether the data is safe, and if not, what it waits for: every member that is out, or behind, by its name. */
export function poolHealth(status: PoolClientStatus): Health {
  const { legs, policy, witness, lost, unreadable, withoutCleanCopy, waits } = status;
  const name = `pool ${status.poolName}`;
  if (serviceOf(status) !== 'SERVING') {
    return { level: 'down', sentence: `${name} is not served: it waits for ${status.waitingFor?.what ?? 'its stop'}` };
  }
  const flaws = legs.map(legFlaw).filter((flaw) => flaw !== null);
  if (lost !== null)
    flaws.push(
      `${formatSize(lost.bytes)} are LOST, the first at byte ${lost.ranges[0]?.offsetBytes}: no member has them, and reads fail with EIO until their chunks are written whole`,
    );
  if (unreadable !== null)
    flaws.push(
      `no disk can read ${formatSize(unreadable.bytes)}, the first at byte ${unreadable.ranges[0]?.offsetBytes}: reads fail with EIO until their chunks are written whole`,
    );
  if (withoutCleanCopy !== null)
    flaws.push(`chunk ${withoutCleanCopy.firstChunk} and perhaps others are clean on ${withoutCleanCopy.holders} alone: IO on them waits`);
  for (const { kind, what } of waits) {
    // What waits for such chunks has been named.
    if (withoutCleanCopy === null || (kind !== 'CHUNK' && kind !== 'FLUSH')) flaws.push(`IO waits for ${what}`);
  }
  if (policy.quorum === 'majority' && witness !== null && !witness.ready)
    flaws.push(`the witness ${witness.name} does not take part${witness.problem === '' ? '' : `: ${witness.problem}`}`);
  if (flaws.length === 0)
    return { level: 'healthy', sentence: `${name} is served by all ${legs.length} members, and all of them are in sync` };
  const normal = legs.filter((leg) => leg.state === 'NORMAL').length;
  return { level: 'degraded', sentence: `${name} is served by ${normal} of ${legs.length} members: ${flaws.join('; ')}` };
}

/** What is wrong with a member, or null. */
function legFlaw(leg: PoolClientStatus['legs'][number]): string | null {
  const name = `member ${leg.memberId} (${leg.name})`;
  const { dirtyBytes } = leg;
  if (leg.state === 'NORMAL')
    return dirtyBytes === null || dirtyBytes === 0 ? null : `${name} is in sync and has ${formatSize(dirtyBytes)} left to pull`;
  const missed = dirtyBytes === null || dirtyBytes === 0 ? '' : `, has missed ${formatSize(dirtyBytes)}`;
  // On its way back, the reason is what it waits for.
  const reason = leg.reason === '' || leg.state === 'RECONNECTING' ? '' : ` (${leg.reason})`;
  const next = leg.waitingFor === null ? '' : `, and waits for ${leg.waitingFor.what}`;
  return `${name} is out of the in-sync set: ${leg.state}${reason}${missed}${next}`;
}

function waitingFor(waiting: Waiting | null): WaitingFor | null {
  return waiting === null ? null : { what: waiting.what, since: isoTime(waiting.sinceMs), remedy: waiting.remedy };
}

/** The exports: one per pool, there or not. */
export function exportStatuses(world: World, pools: readonly MappedPool[], server: NbdServer): ClientNodeStatus['exports'] {
  const connections = server.connections();
  const sinceNow = world.clock.wallMs() - world.clock.nowMs();
  return pools.map(({ config, client }) => {
    const name = config.exportName ?? config.name;
    return {
      name,
      poolUuid: config.uuid,
      sizeBytes: client.geometry?.sizeBytes ?? null,
      readOnly: config.readOnly,
      connections: connections
        .filter((connection) => connection.exportName === name)
        .map((connection) => ({
          peer: connection.peer,
          since: isoTime(sinceNow + connection.connectedAtMs),
          inFlight: connection.requestsInFlight,
        })),
    };
  });
}

function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
