import type { DirtyMap } from '@rmr/dirty-map';
import { assert, type Logger, OperationError } from '@rmr/runtime';
import { FORMER_LINEAGES_MAX, MEMBER_ANSWER_MS, MEMBERS_MAX } from '../../../constants.ts';
import type { MemberRecord, PoolPolicy } from '../../../pool-store.ts';
import type { LegState } from '../../../states.ts';
import { formatVersion } from '../../../version.ts';
import { emptyResultSchema, type ProbeResult, probeResultSchema } from '../../../wire/control-message.ts';
import type { Leg, MemberAddress } from '../legs/leg.ts';
import type { PoolGeometry } from '../pool-client-types.ts';
import type { PoolMaps } from '../pool-maps.ts';
import { geometryText, unfitness } from '../recovery/fitness.ts';
import { dataMembers, isWitness, majorityOf, withMember } from '../versions/member-records.ts';
import type { VersionChange, Versions } from '../versions/versions.ts';

/**
 * Changes of a pool's membership. They are made one at a time. Each is a version that is durable on every in-sync member before it
 * counts. A change is refused while the pool is not served, or if it would leave a chunk without a clean copy (I8). A change that a
 * failure interrupts is superseded with everything else (V4), and reported as not made.
 */
export class MembershipOperations {
  readonly #host: MembershipHost;
  readonly #queue: Operation[] = [];
  #current: Operation | null = null;
  /** The members that are being asked what their stores are. */
  readonly #asked: Asked[] = [];
  /** The members that were removed durably, and whose maps other members may still have. */
  readonly #leftovers = new Set<number>();

  constructor(host: MembershipHost) {
    this.#host = host;
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    assert(this.#current !== null || this.#queue.length === 0 || !this.#host.idle(), 'membership: a change waits for nothing');
    const legs = this.#asked.map(({ leg }) => leg);
    assert(new Set(legs).size === legs.length, 'membership: a member is asked twice');
  }

  /** Takes a member out of the set on purpose, or lets it return. What it misses is tracked. */
  setMaintenance(memberId: number, on: boolean, done: OperationDone): void {
    this.#enqueue(`maintenance of member ${memberId}`, done, () => {
      const { leg, member } = this.#find(memberId);
      if ((member.maintenance === true) === on) return this.#made();
      if (on) {
        this.#mayLeave(leg);
        this.#keepsQuorum(leg, this.#host.versions.members);
      }
      if (on && leg.state === 'NORMAL') {
        this.#host.takeOut(leg, 'RECONNECTING', 'maintenance mode');
        this.#host.disable(leg);
      }
      if (!on) leg.returnAtMs = 0;
      const { maintenance: _before, ...rest } = member;
      const members = withMember(this.#host.versions.members, on ? { ...rest, maintenance: true } : rest);
      this.#host.change({ members, onDurable: () => this.#made() });
    });
  }

  /**
   * Adds a member. Its store was made for this pool with an id that was never used, and has no version. The member becomes all-dirty
   * everywhere, durably, before it joins. Then it returns as any member does.
   */
  add(member: MemberAddress, done: OperationDone): void {
    const { versions } = this.#host;
    const leg = this.#host.legs().find((candidate) => candidate.member.memberId === member.memberId) ?? null;
    if (versions.members.some((known) => known.memberId === member.memberId)) {
      done(new OperationError('CONFLICT', `member ${member.memberId} is a member already`));
      return;
    }
    if (member.memberId <= versions.policy.highestMemberId) {
      const next = versions.policy.highestMemberId + 1;
      done(
        new OperationError(
          'CONFLICT',
          `member id ${member.memberId} was used before, and ids are never used again; create the store with id ${next} or higher`,
        ),
      );
      return;
    }
    if (versions.members.length >= MEMBERS_MAX) {
      done(new OperationError('CONFLICT', `a pool has at most ${MEMBERS_MAX} members`));
      return;
    }
    const joining = leg ?? this.#host.addLeg(member);
    if (joining === null) {
      done(new OperationError('CONFLICT', `a pool has at most ${MEMBERS_MAX} members`));
      return;
    }
    const failed: OperationDone = (error) => {
      const isMember = versions.members.some((known) => known.memberId === member.memberId);
      if (error !== null && leg === null && !isMember) this.#remove(joining, 'it was not added');
      done(error);
    };
    this.#ask(joining, failed, (probe) => {
      if (joining.state === 'REMOVING') {
        failed(new OperationError('UNAVAILABLE', `adding member ${member.memberId}: the pool was assembled anew meanwhile; try again`));
        return;
      }
      this.#enqueue(`adding member ${member.memberId}`, failed, () => {
        if (versions.members.some((known) => known.memberId === member.memberId))
          throw new OperationError('CONFLICT', `member ${member.memberId} is a member already`);
        this.#checkEmptyStore(joining, probe);
        const { storeUuid } = probe.identity;
        const { policy, members } = this.#host.versions;
        const { memberId, name, addresses } = member;
        this.#host.change({
          members: withMember(members, { memberId, storeUuid, name, addresses }),
          policy: { ...policy, highestMemberId: memberId },
          allDirty: [memberId],
          onDurable: () => {
            joining.problem = '';
            joining.returnAtMs = 0;
            this.#made();
          },
        });
      });
    });
  }

  /**
   * Removes a member for good: it leaves the set and the table, then its map is erased everywhere, then it is told. Once it is out of
   * the table, the rest is done in any case, however often a failure comes between. To ask for the removal again does no harm.
   */
  remove(memberId: number, lastCopies: LastCopies, done: OperationDone): void {
    const run = (): void => {
      const { members, policy } = this.#host.versions;
      const isOver = !members.some((member) => member.memberId === memberId) && memberId <= policy.highestMemberId;
      if (this.#leftovers.has(memberId)) this.#eraseMap(memberId);
      else if (isOver) this.#made();
      else this.#takeOutForGood(memberId, lastCopies);
    };
    this.#enqueue(`removing member ${memberId}`, done, run, () => this.#leftovers.has(memberId));
  }

  #takeOutForGood(memberId: number, lastCopies: LastCopies): void {
    const { leg } = this.#find(memberId);
    this.#mayLeave(leg);
    const givenUp = this.#lastCopies(memberId, lastCopies);
    const members = this.#host.versions.members.filter((member) => member.memberId !== memberId);
    this.#keepsQuorum(leg, members);
    this.#host.takeOut(leg, 'REMOVING', 'removed from the pool');
    this.#host.change({
      members,
      givenUp,
      onDurable: () => {
        this.#leftovers.add(memberId);
        this.#eraseMap(memberId);
      },
    });
  }

  /** The map is erased only when no table has the member any more: a member in the table must have its map (I3). */
  #eraseMap(memberId: number): void {
    this.#host.change({
      erase: [memberId],
      onDurable: () => {
        this.#leftovers.delete(memberId);
        this.#host.maps().erase(memberId);
        const leg = this.#host.legs().find((candidate) => candidate.member.memberId === memberId);
        if (leg !== undefined) {
          if (leg.connected)
            leg.call({ op: 'leave', poolUuid: this.#host.poolUuid, epoch: this.#host.epoch() }, emptyResultSchema, () => {});
          this.#host.dropLeg(leg);
        }
        this.#made();
      },
    });
  }

  /** Accepts the new, empty store of a member in the place of its former one. */
  replaceStore(memberId: number, lastCopies: LastCopies, done: OperationDone): void {
    const leg = this.#host.legs().find((candidate) => candidate.member.memberId === memberId);
    if (leg === undefined) {
      done(new OperationError('NOT_FOUND', `the pool has no member ${memberId}`));
      return;
    }
    const replace = (probe: ProbeResult): void => {
      this.#enqueue(`replacing the store of member ${memberId}`, done, () => {
        const { member } = this.#find(memberId);
        const { storeUuid } = probe.identity;
        if (storeUuid === member.storeUuid)
          throw new OperationError('CONFLICT', `${leg.describe()} has its store ${storeUuid} as before: there is nothing to replace`);
        if (leg.state === 'NORMAL') throw new OperationError('CONFLICT', `${leg.describe()} is in sync`);
        this.#checkEmptyStore(leg, probe);
        const givenUp = this.#lastCopies(memberId, lastCopies);
        const { seen: _ofFormer, anew: _formerly, ...rest } = member;
        this.#host.change({
          members: withMember(this.#host.versions.members, { ...rest, storeUuid }),
          allDirty: [memberId],
          givenUp,
          onDurable: () => {
            leg.problem = '';
            leg.returnAtMs = 0;
            this.#made();
          },
        });
      });
    };
    this.#ask(leg, done, replace, () => this.#emptyStoreElsewhere(leg));
  }

  /**
   * Has a member keep its store and copy all data from the others. This is for a store that went back in time (L8), or that an operator
   * does not trust. A member in the set leaves it. The member becomes all-dirty everywhere, and returns as any member does. `isWanted`
   * is asked when the member has said what it has, as it may have another store by then.
   */
  copyAnew(memberId: number, lastCopies: LastCopies, done: OperationDone, isWanted: (probe: ProbeResult) => boolean = () => true): void {
    const leg = this.#host.legs().find((candidate) => candidate.member.memberId === memberId);
    if (leg === undefined) {
      done(new OperationError('NOT_FOUND', `the pool has no member ${memberId}`));
      return;
    }
    this.#ask(leg, done, (probe) => {
      if (!isWanted(probe)) {
        done(new OperationError('CONFLICT', `${leg.describe()} has its store as it was`));
        return;
      }
      this.#enqueue(`copying member ${memberId} anew`, done, () => {
        const { member } = this.#find(memberId);
        const unfit = unfitness(leg, probe, { poolUuid: this.#host.poolUuid, queueDepth: this.#host.queueDepth });
        if (unfit !== '') throw new OperationError('CONFLICT', unfit);
        if (probe.identity.storeUuid !== member.storeUuid)
          throw new OperationError(
            'CONFLICT',
            `${leg.describe()} has store ${probe.identity.storeUuid}, and not ${member.storeUuid}, which the pool knows`,
          );
        if (probe.policy.formerLineages.includes(this.#host.lineageUuid()))
          throw new OperationError('CONFLICT', `${leg.describe()} belongs to a newer lineage than the one that is served here`);
        this.#mayLeave(leg);
        if (leg.state === 'NORMAL') this.#keepsQuorum(leg, this.#host.versions.members);
        const givenUp = this.#lastCopies(memberId, lastCopies);
        if (leg.state === 'NORMAL') {
          this.#host.takeOut(leg, 'RECONNECTING', 'it is copied anew');
          this.#host.disable(leg);
        }
        const { policy, members } = this.#host.versions;
        // With this, what the store has of another lineage is left behind.
        const foreign = probe.version?.lineageUuid ?? this.#host.lineageUuid();
        const isForeign = foreign !== this.#host.lineageUuid() && !policy.formerLineages.includes(foreign);
        // Its next mark is heard when it returns. A life in which nothing was granted is forgotten with the next opening.
        const { seen: _before, ...rest } = member;
        this.#host.log.warn('a member is copied anew: all of it is dirty', { member: memberId, store: member.storeUuid });
        this.#host.change({
          members: withMember(members, rest),
          ...(isForeign ? { policy: { ...policy, formerLineages: [...policy.formerLineages, foreign].slice(-FORMER_LINEAGES_MAX) } } : {}),
          allDirty: [memberId],
          anew: [memberId],
          givenUp,
          onDurable: () => {
            leg.problem = '';
            leg.returnAtMs = 0;
            this.#host.answeredSeqs[leg.index] = 0;
            this.#made();
          },
        });
      });
    });
  }

  /** Changes the quorum policy. The old and the new majority have to record the change. */
  setQuorum(quorum: PoolPolicy['quorum'], done: OperationDone): void {
    this.#enqueue(`quorum ${quorum}`, done, () => {
      const { policy } = this.#host.versions;
      if (policy.quorum === quorum) return this.#made();
      this.#keepsQuorum(null, this.#host.versions.members, 'majority');
      this.#host.change({ policy: { ...policy, quorum }, onDurable: () => this.#made() });
    });
  }

  /** Begins the next change if nothing else is going on. Returns false if there is none. */
  startNext(): boolean {
    if (this.#current !== null) return true;
    const next = this.#queue.shift() ?? this.#leftover();
    if (next === undefined) return false;
    this.#current = next;
    try {
      next.run();
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      this.#end(error);
    }
    return this.#current !== null;
  }

  /** The change under way was superseded, or the pool is not served any more. */
  interrupted(why: string): void {
    if (this.#current?.isMade() === true) this.#made();
    else this.#end(new OperationError('UNAVAILABLE', `it was interrupted: ${why}; look at the pool's status, and ask again`));
    if (this.#host.serving()) return;
    // The next assembly erases maps of former members.
    this.#leftovers.clear();
    for (const { done, what } of this.#queue.splice(0)) done(new OperationError('UNAVAILABLE', `${what}: the pool is not served: ${why}`));
  }

  /** This client does not serve the pool any more. Changes that still wait are not made. */
  close(why: string): void {
    this.interrupted(why);
    for (const { leg, done } of this.#asked.splice(0)) {
      done(new OperationError('UNAVAILABLE', `${leg.describe()} was not heard of in time: ${why}`));
    }
  }

  /** Asks members that could not be reached before. Gives up on each after a while. */
  tick(nowMs: number): void {
    for (const asked of [...this.#asked]) {
      if (nowMs >= asked.deadlineMs) {
        this.#asked.splice(this.#asked.indexOf(asked), 1);
        const { leg, elsewhere } = asked;
        const why = leg.connected ? 'it does not answer' : leg.session.lostReason;
        const place = leg.member.addresses.join(' or ');
        asked.done(new OperationError('UNAVAILABLE', `${leg.describe()} can't be reached at ${place}: ${why}${elsewhere()}`));
      } else if (asked.leg.connected && !asked.busy) {
        this.#probe(asked);
      }
    }
  }

  #ask(leg: Leg, done: OperationDone, answered: (probe: ProbeResult) => void, elsewhere = () => ''): void {
    if (this.#asked.some((asked) => asked.leg === leg)) {
      done(new OperationError('CONFLICT', `${leg.describe()} is being asked what it is, for a change that came before: wait for its end`));
      return;
    }
    this.#asked.push({ leg, deadlineMs: this.#host.nowMs() + MEMBER_ANSWER_MS, answered, done, elsewhere, busy: false });
  }

  /** L9: an empty store can't prove that it is the member's, and so is not followed to another address. Where one answers is told. */
  #emptyStoreElsewhere({ member }: Leg): string {
    const stray = this.#host.strayOf(member.memberId);
    if (stray?.probe == null || stray.probe.version !== null || stray.probe.identity.memberId !== member.memberId) return '';
    const { storeUuid } = stray.probe.identity;
    const [here, there] = [member, stray.member].map(({ addresses }) => addresses.join(' or '));
    return `. Store ${storeUuid} of this member, which was never in service, answers at ${there}, where the pool does not look: bring it to a storage node that answers at ${here}, and ask again`;
  }

  #probe(asked: Asked): void {
    asked.busy = true;
    asked.leg.call({ op: 'probe', poolUuid: this.#host.poolUuid }, probeResultSchema, (probe, failure) => {
      const at = this.#asked.indexOf(asked);
      if (at < 0) return;
      asked.busy = false;
      if (probe === null) {
        asked.leg.problem = failure?.message ?? '';
        // A refusal is final. If there was no answer, the member is asked again.
        if (failure?.code == null) return;
        this.#asked.splice(at, 1);
        asked.done(new OperationError('CONFLICT', failure.message));
        return;
      }
      this.#asked.splice(at, 1);
      asked.leg.probe = probe;
      asked.leg.poolHandle = probe.poolHandle;
      asked.answered(probe);
    });
  }

  #enqueue(what: string, done: OperationDone, run: () => void, isMade = () => false): void {
    if (!this.#host.serving()) {
      done(new OperationError('UNAVAILABLE', `${what}: the pool is not served now`));
      return;
    }
    this.#queue.push({ what, run, done, isMade });
    this.#host.goOn();
  }

  /** The rest of a removal. Undefined if there is none. */
  #leftover(): Operation | undefined {
    const [memberId] = this.#leftovers;
    if (memberId === undefined) return undefined;
    return { what: `erasing the map of member ${memberId}`, run: () => this.#eraseMap(memberId), done: () => {}, isMade: () => false };
  }

  /**
   * The change is durable on every in-sync member. If the pool is paused, it is not known yet whether it counts, as too few members have
   * recorded it (quorum).
   */
  #made(): void {
    const why =
      'the members in sync have recorded it, but it counts only when a majority has: until then the pool waits, as its status says';
    this.#end(this.#host.versions.paused ? new OperationError('UNAVAILABLE', why) : null);
  }

  #end(error: OperationError | null): void {
    const operation = this.#current;
    if (operation === null) return;
    this.#current = null;
    operation.done(error);
    this.#host.goOn();
  }

  #find(memberId: number): { leg: Leg; member: Versions['members'][number] } {
    const member = this.#host.versions.members.find((known) => known.memberId === memberId);
    const leg = this.#host.legs().find((candidate) => candidate.member.memberId === memberId);
    if (member === undefined || leg === undefined) throw new OperationError('NOT_FOUND', `the pool has no member ${memberId}`);
    return { leg, member };
  }

  /** Throws if the member must stay in the set: as the last one in sync, or as the only one in sync that has some chunk clean. */
  #mayLeave(leg: Leg): void {
    if (leg.state !== 'NORMAL') return;
    const others = this.#host.legs().filter((other) => other !== leg && other.state === 'NORMAL');
    if (others.length === 0) throw new OperationError('CONFLICT', `${leg.describe()} is the last member in sync`);
    const chunk = this.#host.maps().heldOnlyBy(
      leg.member.memberId,
      others.map((other) => other.member.memberId),
    );
    if (chunk >= 0) {
      throw new OperationError(
        'CONFLICT',
        `${leg.describe()} has the only clean copy in sync of chunk ${chunk} and maybe others; wait until resync has ended`,
      );
    }
  }

  /** Throws unless, without the leg, a majority of the old and of the new members is there to record the change. */
  #keepsQuorum(leaver: Leg | null, members: readonly MemberRecord[], quorum = this.#host.versions.policy.quorum): void {
    if (quorum === 'none') return;
    const { versions } = this.#host;
    const stay = this.#host.legs().filter((leg) => leg !== leaver && leg.state === 'NORMAL');
    const recorded = (member: MemberRecord): boolean =>
      isWitness(member) ? versions.witnessReady : stay.some((leg) => leg.member.memberId === member.memberId);
    for (const table of [versions.members, members]) {
      const { length } = table.filter(recorded);
      if (length >= majorityOf(table)) continue;
      throw new OperationError(
        'CONFLICT',
        `a majority of the ${table.length} members has to record this (${majorityOf(table)}), and only ${length} would be there: bring the others back first`,
      );
    }
  }

  /**
   * I8: throws if the member has a chunk that no other member in sync has, unless such copies may be given up. A copy that is out of the
   * set does not count, as it may never have been flushed (I1). Returns the chunks that are LOST then: those that no other member at all
   * has.
   */
  #lastCopies(memberId: number, lastCopies: LastCopies): DirtyMap | null {
    const { members, current } = this.#host.versions;
    const inSync = heldOnlyBy(this.#host.maps(), memberId, current?.inSync ?? []);
    const chunks = heldOnlyBy(this.#host.maps(), memberId, dataMembers(members));
    if (lastCopies === 'KEEP' && chunks !== null)
      throw new LastCopiesError(
        `member ${memberId} has the last clean copy of ${countOf(chunks)}: bring its store back, or give up what only it has`,
      );
    if (lastCopies === 'KEEP' && inSync !== null)
      throw new LastCopiesError(
        `no other member in sync has ${countOf(inSync)}, clean, and members that are away may not have flushed what they have: let resync end first, bring them back, or give up what only member ${memberId} has`,
      );
    if (chunks === null) return null;
    const what = countOf(chunks);
    this.#host.log.warn('the last clean copies of a member are given up, and so these chunks are lost', { memberId, what });
    return chunks;
  }

  /** Throws unless the store was made for this pool and has never been part of it. */
  #checkEmptyStore(leg: Leg, probe: ProbeResult): void {
    const unfit = unfitness(leg, probe, { poolUuid: this.#host.poolUuid, queueDepth: this.#host.queueDepth });
    if (unfit !== '') throw new OperationError('CONFLICT', unfit);
    if (probe.version !== null) {
      const version = formatVersion(probe.version);
      throw new OperationError(
        'CONFLICT',
        `the store of ${leg.describe()} has been part of a pool (version ${version}), and is no member of this one: if nothing on it is needed, create it anew, and ask again`,
      );
    }
    const geometry = this.#host.geometry();
    if (probe.identity.sizeBytes !== geometry?.sizeBytes || probe.identity.chunkSizeBytes !== geometry.chunkSizeBytes) {
      const wanted = geometry === null ? 'none yet' : geometryText(geometry);
      const remedy = 'create the store anew with the size and the chunk size of the pool, and ask again';
      throw new OperationError(
        'CONFLICT',
        `the new store of ${leg.describe()} is for ${geometryText(probe.identity)}, and the pool has ${wanted}: ${remedy}`,
      );
    }
  }

  #remove(leg: Leg, why: string): void {
    // An assembly meanwhile may have dropped the leg, as its member is not in the table.
    if (leg.state !== 'REMOVING') this.#host.takeOut(leg, 'REMOVING', why);
    this.#host.dropLeg(leg);
    this.#host.goOn();
  }
}

/** Called once: when the change is durable (null), or with the reason why it was not made. */
export type OperationDone = (error: OperationError | null) => void;

/**
 * What to do if only the store that is to go has chunks clean. `KEEP`: the change is refused. `GIVE_UP`: an operator that knows that the
 * store is gone for good accepts that these chunks are LOST (I8).
 */
export type LastCopies = 'KEEP' | 'GIVE_UP';

/** I8: the change was refused, as it would take the last clean copies of chunks. An operator may give them up. */
export class LastCopiesError extends OperationError {
  constructor(message: string) {
    super('CONFLICT', message);
  }
}

/** What a version changes besides the set. */
export interface MembershipChange extends Omit<VersionChange, 'onDurable' | 'joining'> {
  /** I8: chunks whose only clean copies are given up. They are LOST when the version is durable, before any IO goes on. */
  readonly givenUp?: DirtyMap | null;
}

interface Operation {
  readonly what: string;
  readonly run: () => void;
  readonly done: OperationDone;
  /** Whether the change itself is durable, so that what is left to do will be done in any case. */
  readonly isMade: () => boolean;
}

/** A member that is asked what its store is. */
interface Asked {
  readonly leg: Leg;
  readonly deadlineMs: number;
  readonly answered: (probe: ProbeResult) => void;
  readonly done: OperationDone;
  /** What else is told when it can't be reached: what follows on a sentence, or empty. */
  readonly elsewhere: () => string;
  busy: boolean;
}

/** The chunks that the member has clean and none of the others has. Null if there are none. */
function heldOnlyBy(maps: PoolMaps, memberId: number, others: readonly { readonly memberId: number }[]): DirtyMap | null {
  return maps.allHeldOnlyBy(
    memberId,
    others.map((other) => other.memberId).filter((id) => id !== memberId),
  );
}

/** The number of chunks and the first of them, for people. */
function countOf(chunks: DirtyMap): string {
  const [first] = chunks.runs(1);
  return `${chunks.dirtyCount} ${chunks.dirtyCount === 1 ? 'chunk' : 'chunks'}, the first of which is ${first?.first}`;
}

/** What changes of the membership need from the pool's client. */
export interface MembershipHost {
  readonly log: Logger;
  readonly poolUuid: string;
  readonly queueDepth: number;
  readonly versions: Versions;
  epoch(): number;
  nowMs(): number;
  serving(): boolean;
  /** Whether no other version change is under way. */
  idle(): boolean;
  geometry(): PoolGeometry | null;
  lineageUuid(): string;
  /** See `IoEngine.answeredSeqs`. */
  readonly answeredSeqs: Float64Array;
  maps(): PoolMaps;
  legs(): readonly Leg[];
  /** The leg to where a member was, or is configured, and the pool does not look for it (L9). */
  strayOf(memberId: number): Leg | undefined;
  addLeg(member: MemberAddress): Leg | null;
  /** Takes the leg out of IO. The caller makes the version without it. */
  takeOut(leg: Leg, to: LegState, why: string): void;
  change(change: MembershipChange & { readonly onDurable: () => void }): void;
  disable(leg: Leg): void;
  dropLeg(leg: Leg): void;
  goOn(): void;
}
