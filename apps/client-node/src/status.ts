import {
  type ClientNodeStatus,
  type ClientPoolStatus,
  type Health,
  type IoCounters,
  versionStatus,
  type WaitingFor,
  type Watched,
  worstHealth,
} from '@rmr/admin-api';
import type { NbdServer } from '@rmr/nbd';
import type { PoolClientStatus } from '@rmr/rmr';
import { formatSize, type World } from '@rmr/runtime';
import { adminFlags, commandLine } from './admin-address.ts';
import type { ClientNodeConfig } from './config.ts';
import type { MappedPool } from './mapped-pools.ts';

type AdminConfig = ClientNodeConfig['admin'];

/** The reason of a pool that waits to be created. It speaks only of members that answer: one that does not may have been in service. */
const NEVER_IN_SERVICE = 'no member that answers has ever been in service';

/** The health of the node is that of its worst pool. */
export function nodeHealth(pools: readonly ClientPoolStatus[]): Health {
  if (pools.length === 0) return { level: 'healthy', sentence: 'no pool is mapped here' };
  return worstHealth(
    pools.map((pool) => pool.health),
    pools.length === 1 ? (pools[0] as ClientPoolStatus).health.sentence : `all ${pools.length} pools are served by all of their members`,
  );
}

/** The status of one pool. `admin` says how this daemon is reached: the status has commands for people to type. */
export function poolStatus({ config, client, isStatic }: MappedPool, admin: AdminConfig): ClientPoolStatus {
  const status = client.status();
  const { counters } = client;
  const { version, geometry, witness } = status;
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
    reason: reasonOf(status),
    since: isoTime(status.stateSinceMs),
    born: status.born,
    // What this node remembers of a pool that an order mapped, it corrects by itself.
    differences: isStatic ? status.differences.map(({ what, remedy }) => ({ what, remedy })) : [],
    epoch: status.epoch === 0 ? null : status.epoch,
    version: versionStatus(version),
    sizeBytes: geometry?.sizeBytes ?? null,
    chunkSizeBytes: geometry?.chunkSizeBytes ?? null,
    queueDepth: config.queueDepth,
    readPolicy: config.readPolicy,
    quorum: status.policy.quorum,
    witness:
      witness === null
        ? null
        : {
            name: witness.name,
            connected: witness.connected,
            ready: witness.ready,
            reason: witness.problem,
            waitingFor: waitingFor(witness.waitingFor),
          },
    versionChangePending: status.versionChangePending,
    legs: status.legs.map(({ sinceMs, addresses, heldUp, waitingFor: wanted, ...leg }) => ({
      ...leg,
      addresses: [...addresses],
      since: isoTime(sinceMs),
      heldUp: heldUp === null ? null : { seconds: heldUp.ms / 1_000, withinSeconds: heldUp.withinMs / 1_000 },
      waitingFor: waitingFor(wanted),
    })),
    io,
    counters: { readRetries: counters.readRetries, overlapHolds: counters.overlapHolds, bounces: counters.bounces },
    waitingIo: status.waiting,
    oldestIoSince: status.oldestIoSinceMs === null ? null : isoTime(status.oldestIoSinceMs),
    waits: status.waits.map(({ sinceMs, ...wait }) => ({ ...wait, since: isoTime(sinceMs) })),
    lost: lostData(status.lost),
    unreadable: lostData(status.unreadable),
    withoutCleanCopy: status.withoutCleanCopy,
    owedBytes: status.owedBytes,
    waitingFor: waitingFor(poolWaitsFor(status, admin)),
    health: poolHealth(status),
  };
}

/** The health of one pool, for the log. It comes with the first remedy of all that the pool and its legs wait for. */
export function watchedPool(pool: MappedPool, admin: AdminConfig): Watched {
  const { name, health, waitingFor, waits, legs } = poolStatus(pool, admin);
  const wanted = [waitingFor, ...waits, ...legs.map((leg) => leg.waitingFor)];
  return { pool: name, health, remedy: wanted.find((each) => each?.remedy !== undefined)?.remedy };
}

function lostData(lost: PoolClientStatus['lost']): ClientPoolStatus['lost'] {
  return lost === null ? null : { bytes: lost.bytes, ranges: lost.ranges.map((range) => ({ ...range })) };
}

type Waiting = NonNullable<PoolClientStatus['waitingFor']>;

/** The pool's service as its users feel it. Without a quorum IO is held, although members could execute it: that is `WAITING`. */
function serviceOf({ state, waitingFor: pauses }: PoolClientStatus): ClientPoolStatus['state'] {
  if (state === 'SERVING') return pauses === null ? 'SERVING' : 'WAITING';
  return state === 'STOPPING' ? 'SERVING' : state === 'RECOVERING' ? 'WAITING' : 'STOPPED';
}

function reasonOf(status: PoolClientStatus): string {
  if (isUnborn(status)) return NEVER_IN_SERVICE;
  return status.waitingFor?.what ?? (status.versionChangePending ? 'a version is being recorded' : 'served');
}

/** Whether the pool waits to be created: no member that answers has ever been in service. */
function isUnborn(status: PoolClientStatus): boolean {
  return status.born === false && serviceOf(status) === 'WAITING';
}

function poolWaitsFor(status: PoolClientStatus, admin: AdminConfig): Waiting | null {
  const waiting: Waiting | undefined = status.waitingFor ?? status.waits[0];
  if (waiting !== undefined) {
    const { remedy } = waiting;
    return isUnborn(status) && remedy !== undefined ? { ...waiting, remedy: withCommand(remedy, status.poolName, admin) } : waiting;
  }
  return status.state === 'STOPPING' ? { what: 'its last flush, and its members to be released', sinceMs: status.stateSinceMs } : null;
}

/** The client's remedy. Its command gets the flags that it needs to be typed on this host. */
function withCommand(remedy: string, poolName: string, admin: AdminConfig): string {
  const command = commandLine(['client-node', 'create', '--pool', poolName, ...adminFlags(admin)]);
  return remedy.replace(`client-node create --pool ${poolName}`, () => `"${command}"`);
}

/** The health of one pool. The sentence says whether the data is safe. If not, it names each member that is out of sync or behind. */
export function poolHealth(status: PoolClientStatus): Health {
  const { legs, policy, witness, lost, unreadable, withoutCleanCopy, waits } = status;
  const name = `pool ${status.poolName}`;
  if (isUnborn(status)) return { level: 'down', sentence: `${name}: ${NEVER_IN_SERVICE}` };
  if (serviceOf(status) !== 'SERVING') {
    const what = status.waitingFor?.what ?? 'its stop';
    const doubts = legs.filter((leg) => leg.rolledBack !== null && !(saysDoubt(leg) && what.includes(leg.reason)));
    const sentences = [what, ...doubts.map((leg) => withoutStop(leg.rolledBack as string))];
    return { level: 'down', sentence: `${name} is not served: it waits for ${sentences.join('; ')}` };
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
    // Waits for chunks without a clean copy are named already.
    if (withoutCleanCopy === null || (kind !== 'CHUNK' && kind !== 'FLUSH')) flaws.push(`IO waits for ${what}`);
  }
  if (policy.quorum === 'majority' && witness !== null && !witness.ready)
    flaws.push(`the witness ${witness.name} does not take part${witness.problem === '' ? '' : `: ${witness.problem}`}`);
  if (flaws.length === 0)
    return { level: 'healthy', sentence: `${name} is served by all ${legs.length} members, and all of them are in sync` };
  const normal = legs.filter((leg) => leg.state === 'NORMAL').length;
  return { level: 'degraded', sentence: `${name} is served by ${normal} of ${legs.length} members: ${flaws.join('; ')}` };
}

type LegPicture = PoolClientStatus['legs'][number];

/** What is wrong with a member, or null. */
function legFlaw(leg: LegPicture): string | null {
  const condition = legCondition(leg);
  if (leg.rolledBack === null) return condition === null ? null : `${memberName(leg)} ${condition}`;
  // The doubt names the member at its beginning.
  const doubt = withoutStop(leg.rolledBack);
  return condition === null ? doubt : `${doubt} (it ${condition})`;
}

/** Whether the reason for the leg's state is that its store is not what it was. */
function saysDoubt({ reason, rolledBack }: LegPicture): boolean {
  return reason !== '' && rolledBack?.startsWith(reason) === true;
}

function heldUpText({ ms, withinMs }: { readonly ms: number; readonly withinMs: number }): string {
  return `has held up IO for ${Math.round(ms / 1_000)} s within the last ${Math.round(withinMs / 1_000)} s`;
}

function legCondition(leg: LegPicture): string | null {
  const { dirtyBytes } = leg;
  if (leg.state === 'NORMAL') {
    const conditions = [
      ...(dirtyBytes === null || dirtyBytes === 0 ? [] : [`is in sync and has ${formatSize(dirtyBytes)} left to pull`]),
      ...(leg.diskTrouble === null ? [] : [leg.diskTrouble]),
      ...(leg.heldUp === null ? [] : [heldUpText(leg.heldUp)]),
    ];
    return conditions.length === 0 ? null : conditions.join(', and ');
  }
  const missed = dirtyBytes === null || dirtyBytes === 0 ? '' : `, has missed ${formatSize(dirtyBytes)}`;
  // While the leg is on its way back, its reason is the same as what it waits for.
  const reason = leg.reason === '' || leg.state === 'RECONNECTING' || saysDoubt(leg) ? '' : ` (${leg.reason})`;
  const next = leg.waitingFor === null ? '' : `, and waits for ${leg.waitingFor.what}`;
  return `is out of the in-sync set: ${leg.state}${reason}${missed}${next}`;
}

function memberName({ memberId, name }: LegPicture): string {
  return `member ${memberId} (${name})`;
}

/** A sentence without its full stop, to be a part of another one. */
function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, '');
}

function waitingFor(waiting: Waiting | null): WaitingFor | null {
  return waiting === null ? null : { what: waiting.what, since: isoTime(waiting.sinceMs), remedy: waiting.remedy };
}

/** The status of the exports. Each pool has one, whether it is served or not. */
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

/** A wall-clock time in the form that status uses: ISO 8601 in UTC. */
export function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
