import type { Logger } from '@rmr/runtime';
import type { VersionRecord } from '../../../pool-store.ts';
import type { ClaimResult, ProbeResult } from '../../../wire/control-message.ts';
import { hasInPast } from '../../store-past.ts';
import type { Leg } from '../legs/leg.ts';
import type { LegTable } from '../legs/leg-table.ts';
import { LastCopiesError, type MembershipOperations, type OperationDone } from '../membership/membership-operations.ts';
import type { PoolGeometry } from '../pool-client-types.ts';
import { unfitToReturn } from '../recovery/fitness.ts';
import {
  remedyForEmptyStore,
  remedyForLastCopies,
  remedyForLineages,
  remedyForMovedBack,
  remedyForNewerLineage,
  remedyForRolledBack,
  remedyForTwins,
  remedyForUnfit,
} from '../status/remedies.ts';
import type { VersionMemory, Versions } from '../versions/versions.ts';
import { type RolledBack, rolledBack } from './rolled-back.ts';

/**
 * Judges the stores with which members return to a pool that is served. Does the store fit? Did it go back in time (L8)? Is it where it
 * should be (L9)? It also has stores copied anew that went back in time.
 */
export class ReturningStores {
  readonly #host: ReturningStoresHost;
  /** What was logged of stores that went back in time, so that it is logged once. */
  readonly #told = new Set<string>();

  constructor(host: ReturningStoresHost) {
    this.#host = host;
  }

  /** Why a member that answers can't return, apart from what the past of its store says. Empty if it can. */
  unfit(leg: Leg, probe: ProbeResult): string {
    const { poolUuid, queueDepth, versions, legs } = this.#host;
    const { members, current, policy } = versions;
    const pool = { poolUuid, queueDepth, members, geometry: this.#host.geometry() };
    return (
      unfitToReturn(leg, probe, { ...pool, lineageUuid: current?.lineageUuid, formerLineages: policy.formerLineages }) || legs.twice(leg)
    );
  }

  /** What a person can do about a member that is unfit to return. */
  remedyForUnfit(leg: Leg): string {
    const { legs, versions, poolName } = this.#host;
    const { probe } = leg;
    if (probe === null || legs.twice(leg) !== '') return remedyForTwins();
    const { memberId } = leg.member;
    const served = versions.current?.lineageUuid ?? '';
    if (probe.policy.formerLineages.includes(served)) return remedyForNewerLineage();
    if (probe.version === null) return remedyForEmptyStore(poolName, memberId);
    return probe.version.lineageUuid === served ? remedyForUnfit(leg.member.name) : remedyForLineages(poolName, memberId);
  }

  /** L8: why the member's store went back in time, by what this client knew when it asked. Null if it did not. */
  rolledBack(
    leg: Leg,
    { version, past, members }: Pick<ClaimResult, 'version' | 'past' | 'members'>,
    known: VersionMemory | null,
  ): RolledBack | null {
    if (known === null) return null;
    return rolledBack({ memberId: leg.member.memberId, storeUuid: leg.storeUuid ?? '', version, past, members }, [
      { who: 'this client', version: known.durable, members: known.members, durable: true },
    ]);
  }

  /**
   * L8: a store went back in time. It is copied anew from the others by itself, as long as that takes no last copy. A store that answers
   * elsewhere than where the pool knows it may be a copy of the right one. That one is left to an operator.
   */
  copyAnew(leg: Leg): void {
    const { log, membership, poolName } = this.#host;
    const why = leg.problem;
    const { memberId } = leg.member;
    if (!this.#told.has(why)) log.error('a store went back in time', { member: memberId, why });
    this.#told.add(why);
    leg.remedy = leg.moved ? remedyForMovedBack(poolName, memberId) : remedyForRolledBack();
    if (leg.moved) return;
    const done: OperationDone = (error) => {
      if (error === null || leg.state === 'REMOVING' || leg.rolledBack === null) return;
      leg.problem = `${why}; it can't be copied anew: ${error.message}`;
      leg.remedy = error instanceof LastCopiesError ? remedyForLastCopies(poolName, memberId) : remedyForRolledBack();
    };
    // The store may be right again by the time it has said what it has.
    membership.copyAnew(memberId, 'KEEP', done, (probe) => {
      if (leg.rolledBack?.lacksWrites !== true) leg.rolledBack = this.rolledBack(leg, probe, this.#host.versions.memory);
      return leg.rolledBack !== null;
    });
  }

  /** L9: whether a member that answers where the configuration names it is the member that the pool knows elsewhere, with its store. */
  isMoved(stray: Leg): boolean {
    const { poolUuid, versions, legs } = this.#host;
    const { probe } = stray;
    if (probe === null || legs.twice(stray) !== '') return false;
    const { identity, past } = probe;
    const { memberId, storeUuid } = identity;
    if (identity.poolUuid !== poolUuid || memberId !== stray.member.memberId) return false;
    const tables = [{ version: versions.current, members: versions.members }, probe, ...legs.staying.map(({ heard }) => heard)];
    const entries = tables.flatMap((table) => {
      const entry = table?.members.find((member) => member.memberId === memberId);
      return table == null || entry === undefined ? [] : [{ ...entry, at: table.version ?? NEVER }];
    });
    const own = entries.filter((entry) => entry.storeUuid === storeUuid);
    const isBefore = (at: Place, than: Place): boolean => at.epoch < than.epoch || (at.epoch === than.epoch && at.seq < than.seq);
    // The newest table says which store is the member's. A table from before a replacement has the former store.
    const isFormer = entries.some((entry) => entry.storeUuid !== storeUuid && own.every(({ at }) => isBefore(at, entry.at)));
    const anews = own.map(({ anew }) => anew).filter((anew) => anew !== undefined);
    const counts = own.filter(({ at }) => !anews.some((anew) => isBefore(at, anew)));
    return !isFormer && counts.every(({ seen }) => seen === undefined || hasInPast(past, seen));
  }
}

/** The place of a version among others. */
type Place = Pick<VersionRecord, 'epoch' | 'seq'>;

/** The place of a table that was recorded with no version. */
const NEVER: Place = { epoch: 0, seq: 0 };

/** What {@link ReturningStores} needs from its pool. */
export interface ReturningStoresHost {
  readonly log: Logger;
  readonly poolUuid: string;
  readonly poolName: string;
  readonly queueDepth: number;
  readonly versions: Versions;
  readonly legs: LegTable;
  readonly membership: MembershipOperations;
  geometry(): PoolGeometry | null;
}
