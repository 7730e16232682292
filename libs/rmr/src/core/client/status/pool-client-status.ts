import { type Clock, formatTime } from '@rmr/runtime';
import { HELD_UP_MIN_PART } from '../../../constants.ts';
import { formatVersion } from '../../../version.ts';
import type { IoEngine } from '../io/io-engine.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolClientStatus, WaitingFor, Wanted } from '../pool-client-types.ts';
import type { PoolMaps } from '../pool-maps.ts';
import type { LegReturn } from '../return/leg-return.ts';
import type { RolledBack } from '../return/rolled-back.ts';
import type { Versions } from '../versions/versions.ts';
import { describeHolders, type PoolGate, poolWaits, type WaitView } from './pool-waits.ts';
import { remedyFor } from './remedies.ts';

/** The fields of the status that the pool client itself knows. They are described where the status is. */
type Known = 'poolUuid' | 'poolName' | 'epoch' | 'geometry' | 'state' | 'stateSinceMs' | 'waitingFor' | 'differences' | 'born';

/** What a pool client is in the middle of. */
export interface PoolSituation extends Pick<PoolClientStatus, Known> {
  readonly clock: Clock;
  readonly legs: readonly Leg[];
  readonly witness: Leg | null;
  /** Since when the witness takes no part, wall clock. It counts only while it takes none. */
  readonly witnessAwaySinceMs: number;
  /** When the last map update began (L4), wall clock. */
  readonly mapUpdateSinceMs: number;
  readonly engine: IoEngine;
  readonly versions: Versions;
  readonly maps: PoolMaps | null;
  /** The return under way. Null if there is none. */
  readonly returning: LegReturn | null;
}

/** The status of a pool. */
export function poolStatus(pool: PoolSituation): PoolClientStatus {
  const { poolUuid, poolName, epoch, geometry, state, stateSinceMs, differences, born, engine, returning, versions } = pool;
  const inSync = new Set(versions.current?.inSync.map((member) => member.memberId) ?? []);
  return {
    ...{ poolUuid, poolName, epoch, geometry, state, stateSinceMs, differences, born },
    version: versions.current,
    versionChangePending: state === 'SERVING' && engine.gate.writesWait,
    policy: versions.policy,
    members: versions.members,
    witness: witnessStatus(pool),
    owedBytes: versions.owed.reduce((sum, range) => sum + range.lengthBytes, 0),
    waitingFor: poolWaitsFor(pool),
    ...ioStatus(pool),
    executing: engine.executing,
    waiting: engine.waiting,
    legs: pool.legs
      .filter((leg) => leg.state !== 'REMOVING' || state === 'STOPPED')
      .map((leg) => ({
        memberId: leg.member.memberId,
        name: leg.member.name,
        addresses: leg.member.addresses,
        storeUuid: leg.storeUuid,
        state: leg.state,
        reason: reasonOf(leg, returning),
        sinceMs: leg.sinceMs,
        connected: leg.connected,
        inSync: inSync.has(leg.member.memberId),
        maintenance: versions.inMaintenance(leg.member.memberId),
        rolledBack: leg.rolledBack === null ? null : `${leg.describe()} ${leg.rolledBack.why}${sinceOf(leg.rolledBack)}`,
        diskTrouble: leg.state === 'NORMAL' && leg.diskTrouble !== '' ? leg.diskTrouble : null,
        inFlight: engine.inFlight[leg.index] as number,
        heldUp: heldUpBy(engine, leg),
        dirtyBytes: dirtyBytesOf(pool, leg),
        waitingFor: legWaitsFor(pool, leg),
      })),
  };
}

/**
 * The bytes that a member has missed. Null if that is not known, or if the member answers with a store that is not the pool's and has
 * none of its data.
 */
function dirtyBytesOf({ maps, versions }: PoolSituation, { member, storeUuid }: Leg): number | null {
  const record = versions.members.find(({ memberId }) => memberId === member.memberId);
  if (maps === null || record === undefined || (storeUuid !== null && storeUuid !== record.storeUuid)) return null;
  return maps.dirtyBytes(member.memberId);
}

function heldUpBy({ holdUps }: IoEngine, { index, state }: Leg): { readonly ms: number; readonly withinMs: number } | null {
  const [ms, withinMs] = [holdUps.heldUpMs(index), holdUps.limits.slowForMs];
  return state === 'NORMAL' && ms * HELD_UP_MIN_PART >= withinMs ? { ms, withinMs } : null;
}

/** Why the leg is in its state. If its return has failed, the text also says why it had left. */
function reasonOf(leg: Leg, returning: LegReturn | null): string {
  const reason =
    (returning?.leg === leg ? `returning: ${returning.phase}` : leg.problem) || leg.reason || (leg.connected ? '' : leg.session.lostReason);
  return leg.leftFor === '' || reason.includes(leg.leftFor) ? reason : `${reason}; it had left: ${leg.leftFor}`;
}

function sinceOf({ newerAtMs }: RolledBack): string {
  return newerAtMs === null ? '' : ` (last heard of on ${formatTime(newerAtMs)})`;
}

/** The status of the witness: why and since when it takes no part, if it takes none. Null if there is no witness. */
function witnessStatus(pool: PoolSituation): PoolClientStatus['witness'] {
  const { witness, versions, witnessAwaySinceMs } = pool;
  if (witness === null) return null;
  const { connected, session, problem } = witness;
  const ready = versions.witnessReady;
  return {
    name: witness.member.name,
    connected,
    ready,
    problem: problem || (connected ? '' : session.lostReason),
    waitingFor: ready ? null : { ...witnessWaitsFor(pool, witness), sinceMs: witnessAwaySinceMs },
  };
}

function witnessWaitsFor({ state }: PoolSituation, witness: Leg): Wanted {
  if (!witness.connected) return waitsForSession(witness);
  if (state !== 'SERVING' && state !== 'STOPPING') return { what: 'the pool to be served' };
  if (witness.problem === '') return { what: 'it to grant the pool' };
  const remedy = `Look at the stores in the status of ${witness.member.name}, unless that ends by itself.`;
  return { what: `it to grant the pool: ${witness.problem}`, remedy };
}

function waitsForSession(leg: Leg): Wanted {
  return { what: `a session to ${leg.member.addresses.join(' or ')}: ${leg.session.lastErrors}`, remedy: remedyFor([leg]) };
}

/**
 * What a pool waits for that is not served, or is paused. The remedy of a pause is worked out each time, as the members that could end
 * it change.
 */
function poolWaitsFor(pool: PoolSituation): WaitingFor | null {
  const { waitingFor, versions, state } = pool;
  if (waitingFor === null || state !== 'SERVING' || !versions.paused) return waitingFor;
  return { ...waitingFor, remedy: majorityRemedy(pool) };
}

/** What a person can do if too few members are there for a majority. */
function majorityRemedy(pool: PoolSituation): string | undefined {
  const { legs, witness, versions } = pool;
  return remedyOf(pool, witness === null || versions.witnessReady ? legs : [...legs, witness]);
}

/** What a person can do so that those of the legs return that are out of the set. Undefined if nothing is known that would help. */
function remedyOf({ versions }: PoolSituation, legs: readonly Leg[]): string | undefined {
  const absent = legs.filter((leg) => leg.state !== 'NORMAL' && leg.state !== 'REMOVING');
  return remedyFor(absent, (leg) => versions.inMaintenance(leg.member.memberId));
}

/** What IO of the pool waits for. It goes through all requests. */
function ioStatus(pool: PoolSituation): Pick<PoolClientStatus, 'waits' | 'lost' | 'unreadable' | 'withoutCleanCopy' | 'oldestIoSinceMs'> {
  const { clock, engine, versions, maps } = pool;
  const [nowMs, wallMs] = [clock.nowMs(), clock.wallMs()];
  let oldestMs = Number.POSITIVE_INFINITY;
  engine.forEachRequest((request) => {
    oldestMs = Math.min(oldestMs, request.submittedAtMs);
  });
  const oldestIoSinceMs = oldestMs === Number.POSITIVE_INFINITY ? null : wallMs - nowMs + oldestMs;
  if ((pool.state !== 'SERVING' && pool.state !== 'STOPPING') || maps === null)
    return { waits: [], lost: null, unreadable: null, withoutCleanCopy: null, oldestIoSinceMs };
  const view: WaitView = {
    engine,
    maps,
    inSyncIds: pool.legs.filter((leg) => leg.state === 'NORMAL').map((leg) => leg.member.memberId),
    memberIds: versions.dataMemberIds(),
    owedIds: versions.owedIds,
    gate: gateOf(pool),
    readsHeld: engine.gate.readsUntilMs <= nowMs,
    describe: (memberId) => describe(pool, memberId),
    remedy: (memberIds) =>
      remedyOf(
        pool,
        pool.legs.filter((leg) => memberIds.includes(leg.member.memberId)),
      ),
    majorityRemedy: () => majorityRemedy(pool),
    fullIds: pool.legs.filter((leg) => leg.state === 'NORMAL' && leg.isFull).map((leg) => leg.member.memberId),
    idsOf: (mask) => pool.legs.filter((leg) => (leg.bit & mask) !== 0 && leg.state === 'NORMAL').map((leg) => leg.member.memberId),
    nowMs,
    wallMs,
  };
  const firstChunk = maps.heldElsewhere(view.inSyncIds);
  return {
    waits: poolWaits(view),
    lost: maps.lost(),
    unreadable: maps.unreadable(),
    withoutCleanCopy: firstChunk < 0 ? null : { firstChunk, holders: describeHolders(view, firstChunk) },
    oldestIoSinceMs,
  };
}

/** What a leg that is not NORMAL waits for. Null for a leg that is NORMAL or is being removed. */
function legWaitsFor(pool: PoolSituation, leg: Leg): WaitingFor | null {
  if (leg.state === 'NORMAL' || leg.state === 'REMOVING') return null;
  if (!leg.connected) return { ...waitsForSession(leg), sinceMs: leg.session.lostSinceMs };
  // If the pool is RECOVERING or FENCED, all of its legs wait for what the pool waits for.
  if (pool.state !== 'SERVING' && pool.waitingFor !== null) return pool.waitingFor;
  return { ...returnWaitsFor(pool, leg), sinceMs: leg.sinceMs };
}

function returnWaitsFor(pool: PoolSituation, leg: Leg): Wanted {
  const { clock, returning, versions } = pool;
  if (versions.inMaintenance(leg.member.memberId)) return { what: 'an operator to end its maintenance', remedy: remedyOf(pool, [leg]) };
  if (returning?.leg === leg) return { what: `its return: ${returning.phase}` };
  const leftMs = leg.returnAtMs - clock.nowMs();
  if (leftMs > 0) {
    const after = leg.problem === '' ? '' : `: ${leg.problem}`;
    return { what: `its next try to return, in ${Math.ceil(leftMs / 1000)} s${after}`, remedy: remedyOf(pool, [leg]) };
  }
  return {
    what: returning === null ? 'its return, which is about to begin' : `the return of ${returning.leg.describe()}, which comes first`,
  };
}

/** What holds up all writes and flushes. Null if nothing does. */
function gateOf(pool: PoolSituation): PoolGate | null {
  const { engine, versions, returning, mapUpdateSinceMs, stateSinceMs } = pool;
  const waitingFor = poolWaitsFor(pool);
  const back = returning === null ? null : `the return of ${returning.leg.describe()}: ${returning.phase}`;
  if (engine.gate.versionPending) {
    if (versions.paused && waitingFor !== null) return { kind: 'QUORUM', ...waitingFor };
    const { recording } = versions;
    const names = [...(recording?.legs ?? [])].map((leg) => leg.describe());
    const what =
      recording !== null && names.length > 0
        ? `${names.join(' and ')} to record version ${formatVersion(recording.version)}`
        : (back ?? 'a new version to come into use');
    return { kind: 'VERSION', what, sinceMs: recording?.sinceMs ?? stateSinceMs };
  }
  return engine.gate.writesWait && back !== null ? { kind: 'MAP_UPDATE', what: back, sinceMs: mapUpdateSinceMs } : null;
}

/** The member by its number and name. For a member that is out of the in-sync set also its state. */
function describe({ legs, versions }: PoolSituation, memberId: number): string {
  const leg = legs.find((candidate) => candidate.member.memberId === memberId && candidate.state !== 'REMOVING');
  if (leg !== undefined) return leg.state === 'NORMAL' ? leg.describe() : `member ${memberId} (${leg.member.name}, ${leg.state})`;
  const name = versions.members.find((member) => member.memberId === memberId)?.name;
  return name === undefined ? `member ${memberId}` : `member ${memberId} (${name})`;
}
