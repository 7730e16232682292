import type { Clock } from '@rmr/runtime';
import { formatVersion } from '../../version.ts';
import type { IoEngine } from './io-engine.ts';
import type { Leg } from './leg.ts';
import type { LegReturn } from './leg-return.ts';
import type { PoolClientState, PoolClientStatus, WaitingFor } from './pool-client-types.ts';
import type { PoolMaps } from './pool-maps.ts';
import { holdersOf, type PoolGate, poolWaits, type WaitView } from './pool-waits.ts';
import type { Versions } from './versions.ts';

/** What a pool client is in the middle of. */
export interface PoolSituation {
  readonly clock: Clock;
  readonly state: PoolClientState;
  readonly stateSinceMs: number;
  readonly waitingFor: WaitingFor | null;
  readonly legs: readonly Leg[];
  readonly engine: IoEngine;
  readonly versions: Versions;
  readonly maps: PoolMaps | null;
  /** The member that is on its way back. */
  readonly returning: LegReturn | null;
}

/** The part of the status that follows from the situation. */
export function situationStatus(pool: PoolSituation): Omit<PoolClientStatus, 'poolUuid' | 'poolName' | 'epoch' | 'geometry' | 'witness'> {
  const { engine, maps, returning, state, versions } = pool;
  const inSync = new Set(versions.current?.inSync.map((member) => member.memberId) ?? []);
  return {
    state,
    stateSinceMs: pool.stateSinceMs,
    version: versions.current,
    versionChangePending: state === 'SERVING' && engine.frozen,
    policy: versions.policy,
    owedBytes: versions.owed.reduce((sum, range) => sum + range.lengthBytes, 0),
    waitingFor: pool.waitingFor,
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
        reason:
          (returning?.leg === leg ? `returning: ${returning.phase}` : leg.problem) ||
          leg.reason ||
          (leg.connected ? '' : leg.session.lostReason),
        sinceMs: leg.sinceMs,
        connected: leg.connected,
        inSync: inSync.has(leg.member.memberId),
        maintenance: versions.inMaintenance(leg.member.memberId),
        inFlight: engine.inFlight[leg.index] as number,
        dirtyBytes: maps?.dirtyBytes(leg.member.memberId) ?? null,
        waitingFor: legWaitsFor(pool, leg),
      })),
  };
}

/** The witness, and why it takes no part if it does not. */
export function witnessStatus(witness: Leg, ready: boolean): NonNullable<PoolClientStatus['witness']> {
  const { connected, session } = witness;
  return { name: witness.member.name, connected, ready, problem: witness.problem || (connected ? '' : session.lostReason) };
}

/** What IO of the pool waits for: it goes through all requests. */
function ioStatus(pool: PoolSituation): Pick<PoolClientStatus, 'waits' | 'lost' | 'withoutCleanCopy' | 'oldestIoSinceMs'> {
  const { clock, engine, versions, maps } = pool;
  const [nowMs, wallMs] = [clock.nowMs(), clock.wallMs()];
  let oldestMs = Number.POSITIVE_INFINITY;
  engine.forEachRequest((request) => {
    oldestMs = Math.min(oldestMs, request.submittedAtMs);
  });
  const oldestIoSinceMs = oldestMs === Number.POSITIVE_INFINITY ? null : wallMs - nowMs + oldestMs;
  if ((pool.state !== 'SERVING' && pool.state !== 'STOPPING') || maps === null)
    return { waits: [], lost: null, withoutCleanCopy: null, oldestIoSinceMs };
  const view: WaitView = {
    engine,
    maps,
    inSyncIds: pool.legs.filter((leg) => leg.state === 'NORMAL').map((leg) => leg.member.memberId),
    memberIds: versions.dataMemberIds(),
    owedIds: versions.owedIds,
    gate: gateOf(pool),
    readsHeld: engine.readsUntilMs <= nowMs,
    describe: (memberId) => describe(pool, memberId),
    nowMs,
    wallMs,
  };
  const firstChunk = maps.heldElsewhere(view.inSyncIds);
  return {
    waits: poolWaits(view),
    lost: maps.lost(),
    withoutCleanCopy: firstChunk < 0 ? null : { firstChunk, holders: holdersOf(view, firstChunk) },
    oldestIoSinceMs,
  };
}

/** What a leg waits for that is not NORMAL; null for one that is, or is on its way out. */
function legWaitsFor(pool: PoolSituation, leg: Leg): WaitingFor | null {
  if (leg.state === 'NORMAL' || leg.state === 'REMOVING') return null;
  if (!leg.connected) {
    return { what: `a session to ${leg.member.addresses.join(' or ')}: ${leg.session.lastErrors}`, sinceMs: leg.session.lostSinceMs };
  }
  // RECOVERING and FENCED concern the pool as a whole.
  if (pool.state !== 'SERVING' && pool.waitingFor !== null) return pool.waitingFor;
  return { what: returnWaitsFor(pool, leg), sinceMs: leg.sinceMs };
}

function returnWaitsFor({ clock, returning, versions }: PoolSituation, leg: Leg): string {
  if (versions.inMaintenance(leg.member.memberId)) return 'an operator to end its maintenance';
  if (returning?.leg === leg) return `its return: ${returning.phase}`;
  const leftMs = leg.returnAtMs - clock.nowMs();
  if (leftMs > 0) return `its next try to return, in ${Math.ceil(leftMs / 1000)} s${leg.problem === '' ? '' : `: ${leg.problem}`}`;
  return returning === null ? 'its return, which is about to begin' : `the return of ${returning.leg.describe()}, which comes first`;
}

/** What holds up all writes and flushes. */
function gateOf({ engine, versions, returning, waitingFor, stateSinceMs }: PoolSituation): PoolGate | null {
  const back = returning === null ? null : `the return of ${returning.leg.describe()}: ${returning.phase}`;
  if (engine.frozen) {
    if (versions.paused && waitingFor !== null) return { kind: 'QUORUM', ...waitingFor };
    const { recording } = versions;
    const names = [...(recording?.legs ?? [])].map((leg) => leg.describe());
    const what =
      recording !== null && names.length > 0
        ? `${names.join(' and ')} to record version ${formatVersion(recording.version)}`
        : (back ?? 'a new version to come into use');
    return { kind: 'VERSION', what, sinceMs: recording?.sinceMs ?? stateSinceMs };
  }
  return engine.holding && returning !== null && back !== null ? { kind: 'MAP_UPDATE', what: back, sinceMs: returning.leg.sinceMs } : null;
}

/** The member by its number and name; one that is out of the in-sync set with its state. */
function describe({ legs, versions }: PoolSituation, memberId: number): string {
  const leg = legs.find((candidate) => candidate.member.memberId === memberId && candidate.state !== 'REMOVING');
  if (leg !== undefined) return leg.state === 'NORMAL' ? leg.describe() : `member ${memberId} (${leg.member.name}, ${leg.state})`;
  const name = versions.members.find((member) => member.memberId === memberId)?.name;
  return name === undefined ? `member ${memberId}` : `member ${memberId} (${name})`;
}
