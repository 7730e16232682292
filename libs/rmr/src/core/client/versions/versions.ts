import { assert, type World } from '@rmr/runtime';
import { KNOWN_RUNS_MAX, MAP_CHECK_URGENT_MS, RETURN_RETRY_MS_MAX } from '../../../constants.ts';
import type { ByteRange, InSyncMember, MemberRecord, PoolPolicy, SeenMark, StoreMark, VersionRecord } from '../../../pool-store.ts';
import { mergeRanges, subtractRanges } from '../../../ranges.ts';
import { compareVersions, formatVersion, sameMember } from '../../../version.ts';
import {
  claimResultSchema,
  type HeardMarks,
  type MapAdd,
  type MapKnown,
  owedResultSchema,
  probeResultSchema,
  recordedResultSchema,
} from '../../../wire/control-message.ts';
import { isFenced } from '../../control-call.ts';
import { judgeAdds } from '../../map-adds.ts';
import { markOf, seenAt } from '../../store-past.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolMaps } from '../pool-maps.ts';
import type { ColumnDigest } from '../return/map-spread.ts';
import { rolledBack } from '../return/rolled-back.ts';
import { dataMembers, datedTable, isWitness, majorityOf, missingMembers, suffices, withMember } from './member-records.ts';

/**
 * The versions of a pool, as the client that serves the pool makes them. This class keeps these rules: V1 (numbers rise and are never
 * used twice), V2 and V3 (a version is durable on all members of its set before anything relies on it), V4 (an attempt that may have
 * reached a member is superseded, never abandoned), V5 (owed adds), and the quorum.
 */
export class Versions {
  readonly #world: World;
  readonly #host: VersionsHost;
  #current: VersionRecord | null = null;
  #attempts: VersionRecord[] = [];
  #recording: { readonly version: VersionRecord; readonly legs: Set<Leg>; readonly sinceMs: number } | null = null;
  #members: readonly MemberRecord[] = [];
  #policy: PoolPolicy = { quorum: 'none', highestMemberId: 0, formerLineages: [] };
  #seq = 0;
  /** The number of the newest change. Answers to older changes are ignored. */
  #attempt = 0;
  /** All in-sync members have recorded the version, but too few members for the quorum. */
  #paused = false;
  #owed: MapAdd[] = [];
  #owedAskedMs = 0;
  #owedBusy = false;
  /** Members and policy of the last version that enough members have recorded. The quorum of the next version is judged by them, too. */
  #ratified: { readonly members: readonly MemberRecord[]; readonly policy: PoolPolicy } = { members: [], policy: this.#policy };
  #witnessRecorded = false;
  /** The epoch that the witness has granted. 0 if it has granted none. */
  #witnessEpoch = 0;
  #witnessBusy = false;
  #witnessAtMs = 0;
  /**
   * L8: the mark of the witness, if its store went back in time. It must record the current version before its vote counts. Null
   * otherwise.
   */
  #witnessAnew: SeenMark | null = null;

  constructor(world: World, host: VersionsHost) {
    this.#world = world;
    this.#host = host;
  }

  /** The version that is durable on all members of its set. Null before the first assembly. */
  get current(): VersionRecord | null {
    return this.#current;
  }

  get members(): readonly MemberRecord[] {
    return this.#members;
  }

  get policy(): PoolPolicy {
    return this.#policy;
  }

  /** Whether the quorum is `majority`: by the last version that enough members have recorded, or by the current one. */
  get majority(): boolean {
    return this.#ratified.policy.quorum === 'majority' || this.#policy.quorum === 'majority';
  }

  /** Whether these members are a majority, both of the current member table and of the last one that enough members have recorded. */
  isMajority(memberIds: ReadonlySet<number>): boolean {
    return [this.#members, this.#ratified.members].every(
      (members) => members.filter(({ memberId }) => memberIds.has(memberId)).length >= majorityOf(members),
    );
  }

  /** Whether IO is paused because too few members have recorded the version. */
  get paused(): boolean {
    return this.#paused;
  }

  /** What this client remembers of its versions, for recovery (L5). */
  get memory(): VersionMemory | null {
    if (this.#current === null) return null;
    return { durable: this.#current, attempts: this.#attempts, members: this.#members, policy: this.#policy };
  }

  /**
   * The newest version that was sent to members, with the legs that have not recorded it yet and the time since when (wall clock). For
   * status.
   */
  get recording(): { readonly version: VersionRecord; readonly legs: ReadonlySet<Leg>; readonly sinceMs: number } | null {
    return this.#recording;
  }

  /** The members that owed adds are for. */
  get owedIds(): readonly number[] {
    return [...new Set(this.#owed.flatMap((add) => add.memberIds))];
  }

  get owed(): readonly ByteRange[] {
    return this.#owed.flatMap((add) => add.ranges);
  }

  /** Whether the member was taken out of the set on purpose. Only the member table says so. */
  inMaintenance(memberId: number): boolean {
    return this.#members.some((member) => member.memberId === memberId && member.maintenance === true);
  }

  /** L8: a member has told how old its store is. From the next version or renewal on, other members remember that, too. */
  heard({ member, storeUuid }: Pick<Leg, 'member' | 'storeUuid'>, mark: StoreMark): void {
    const known = this.#members.find(({ memberId }) => memberId === member.memberId);
    if (known === undefined || known.storeUuid !== storeUuid) return;
    const { seen } = known;
    if (seen !== undefined && seen.lifeUuid === mark.lifeUuid && seen.age >= mark.age) return;
    this.#members = withMember(this.#members, {
      ...known,
      seen: seenAt(mark, this.#world.clock.wallMs()),
    });
  }

  /** L8: the newest mark of each member's store, for other members to remember. */
  marks(): HeardMarks {
    return this.#members.flatMap(({ memberId, storeUuid, seen }) => (seen === undefined ? [] : [{ memberId, storeUuid, seen }]));
  }

  /** The ids of all members with data. */
  dataMemberIds(): number[] {
    return dataMembers(this.#members).map((member) => member.memberId);
  }

  /** The ids of members that miss what is written. */
  missing(): number[] {
    return missingMembers(this.#members, this.#current?.inSync.map((member) => member.memberId) ?? []);
  }

  /**
   * V4: from now on a member may have recorded this version. Of several attempts with the same set only the newest is kept, as it says
   * all.
   */
  noteAttempt(version: VersionRecord): void {
    const key = (record: VersionRecord): string => record.inSync.map((member) => `${member.memberId} ${member.storeUuid}`).join();
    this.#attempts = [...this.#attempts.filter((attempt) => key(attempt) !== key(version)), version];
  }

  /** The pool was assembled with this version. It is durable on all members of its set. */
  adopt(version: VersionRecord, members: readonly MemberRecord[], policy: PoolPolicy, witnessRecorded: boolean): void {
    this.stop();
    this.#ratified = { members, policy };
    this.#judge(
      version,
      (member) => (isWitness(member) ? witnessRecorded : version.inSync.some((other) => other.memberId === member.memberId)),
      members,
      policy,
    );
    this.#current = version;
    this.#attempts = [];
    this.#members = members;
    this.#policy = policy;
    this.#seq = version.seq;
    this.#witnessRecorded = witnessRecorded;
    this.#witnessEpoch = witnessRecorded ? version.epoch : 0;
  }

  /** No leg is left, or the client ends. Nothing that is under way counts any more. */
  stop(): void {
    this.#attempt++;
    this.#paused = false;
    this.#owed = [];
  }

  /** Makes a version whose set is the NORMAL legs and the joining leg. It becomes durable on every one of them (V2, V3). */
  change(change: VersionChange): void {
    const current = this.#current as VersionRecord;
    const { joining } = change;
    const targets = [...this.#host.normalLegs(), ...(joining === undefined ? [] : [joining.leg])].sort((a, b) => a.index - b.index);
    assert(targets.length > 0, 'V2: a version without members');
    const inSync = targets.map((leg) => ({ memberId: leg.member.memberId, storeUuid: leg.storeUuid as string }));
    const leavers = current.inSync.filter((member) => !inSync.some((other) => sameMember(member, other))).map((member) => member.memberId);
    const attempt = ++this.#attempt;
    const policy = change.policy ?? this.#policy;
    const version: VersionRecord = {
      lineageUuid: current.lineageUuid,
      epoch: this.#host.epoch,
      seq: ++this.#seq,
      inSync,
      horizon: this.#host.writeSeq,
    };
    const members = datedTable(withMoved(this.#withAnew(change, version), targets), version);
    const ranges = mergeRanges(this.#host.incompleteWriteRanges());
    const marked = leavers.filter((id) => members.some((member) => member.memberId === id));
    // V5: the client's own maps have a say, too. They may know what no other holder knows: what a member lacks whose return was broken
    // off.
    const judged = this.#judgeAdds({ members, inSync }, ranges.length === 0 || marked.length === 0 ? [] : [{ memberIds: marked, ranges }]);
    const mapAdds = [...judged.make];
    const whole = { offsetBytes: 0, lengthBytes: this.#host.maps.sizeBytes };
    if (change.allDirty !== undefined) mapAdds.push({ memberIds: [...change.allDirty], ranges: [whole] });
    const marks = new Map(marked.map((memberId) => [memberId, subtractRanges(ranges, judged.owed)]));
    const known = joining === undefined ? this.#known(members, inSync, change, ranges, marks) : [];
    this.#world.log.info('version changes', { from: formatVersion(current), to: formatVersion(version), incompleteWrites: ranges.length });
    this.#paused = false;
    this.#host.awaitVersion(this.majority || policy.quorum === 'majority');
    this.noteAttempt(version);
    const recording = { version, legs: new Set(targets), sinceMs: this.#world.clock.wallMs() };
    this.#recording = recording;
    let left = targets.length;
    const owed = [...judged.owed];
    for (const leg of targets) {
      this.#record(leg, version, members, policy, mapAdds, known, change, joining?.leg === leg && joining.newLineage, (result, reason) => {
        if (attempt !== this.#attempt) return;
        if (result === null) {
          this.#host.onNotRecorded(leg, reason);
          return;
        }
        owed.push(...result.owed);
        recording.legs.delete(leg);
        if (--left > 0) return;
        // The client's own maps follow the members: they mark what the members marked, and not what is owed.
        this.#noteMade(judged.make, owed);
        for (const memberId of change.allDirty ?? []) this.#host.maps.add(memberId, whole);
        this.#witnessRecords(version, members, policy, change, attempt, (witnessed) => {
          const recorded = (member: MemberRecord): boolean =>
            isWitness(member) ? witnessed : inSync.some((other) => other.memberId === member.memberId);
          this.#judge(version, recorded, members, policy);
          this.#witnessRecorded = witnessed;
          this.#current = version;
          this.#attempts = [];
          this.#members = withNewerMarks(members, this.#members);
          this.#policy = policy;
          if (witnessed) this.#witnessAnew = null;
          if (joining !== undefined) this.#owed = withoutMember(this.#owed, joining.leg.member.memberId);
          for (const id of this.owedIds) if (!members.some((member) => member.memberId === id)) this.#owed = withoutMember(this.#owed, id);
          if (owed.length > 0) this.#owed.push({ memberIds: marked, ranges: mergeRanges(owed) });
          this.#host.onOwedChanged(this.owed);
          change.onDurable(version);
        });
      });
    }
  }

  /**
   * V2: what may be dirty for each member. Every holder of a map clears the rest. This has to be told with the version, because a member
   * that has left answers no map check, and a member of the set may be away at the next assembly (I8).
   *
   * What counts as dirty besides the client's maps depends on the member:
   * - A member that stays in the set: nothing else, as nobody marks anything for it.
   * - A member that was out of the set before: the writes in flight and the owed adds. A holder may have marked these already, and the
   *   client's maps do not have them yet.
   * - A member that leaves with this version: only its ranges in `marks`, which leave out what is owed. No holder has marked anything
   *   for it yet. Suppose the leaver has pulled an owed chunk, and a holder has not heard of that. If the chunk counted as dirty here,
   *   this holder would forget the last clean copy of it.
   */
  #known(
    members: readonly MemberRecord[],
    inSync: readonly { readonly memberId: number }[],
    { allDirty = [] }: VersionChange,
    incomplete: readonly ByteRange[],
    marks: ReadonlyMap<number, readonly ByteRange[]>,
  ): MapKnown[] {
    const { maps } = this.#host;
    const stays = (memberId: number): boolean => inSync.some((member) => member.memberId === memberId);
    const judged = dataMembers(members).filter(({ memberId }) => !allDirty.includes(memberId));
    return judged.map(({ memberId }) => {
      const runs = maps.of(memberId).runs(KNOWN_RUNS_MAX);
      const last = runs[KNOWN_RUNS_MAX - 1];
      const dirty = runs.map(({ first, count }) => ({
        offsetBytes: first * maps.chunkSizeBytes,
        lengthBytes: count * maps.chunkSizeBytes,
      }));
      if (last !== undefined) {
        const offsetBytes = last.first * maps.chunkSizeBytes;
        dirty.push({ offsetBytes, lengthBytes: maps.chunkCount * maps.chunkSizeBytes - offsetBytes });
      }
      const marked = stays(memberId) ? [] : (marks.get(memberId) ?? [...incomplete, ...this.owed]);
      return { memberId, dirty: mergeRanges([...dirty, ...marked]) };
    });
  }

  /** V5: judges adds by the client's own maps. */
  #judgeAdds(to: Parameters<typeof judgeAdds>[1], adds: readonly MapAdd[]): { readonly make: MapAdd[]; readonly owed: ByteRange[] } {
    const { maps } = this.#host;
    return judgeAdds({ identity: maps, members: this.#members, dirtyMap: (memberId) => maps.of(memberId) }, to, adds);
  }

  /** The client's own maps follow the members: they mark, chunk by chunk, what all members have marked. */
  #noteMade(adds: readonly MapAdd[], owed: readonly ByteRange[]): void {
    for (const { memberIds, ranges } of adds)
      for (const range of subtractRanges(ranges, owed)) for (const memberId of memberIds) this.#host.maps.add(memberId, range);
  }

  /** Quorum: whether enough members have recorded the version. Both the former and the new member table and policy must agree. */
  #judge(version: VersionRecord, recorded: (member: MemberRecord) => boolean, members: readonly MemberRecord[], policy: PoolPolicy): void {
    this.#paused = !suffices(recorded, this.#ratified, { members, policy });
    if (!this.#paused) {
      this.#ratified = { members, policy };
      return;
    }
    const { length } = members.filter(recorded);
    this.#host.onPaused(
      `a majority: version ${formatVersion(version)} is recorded by ${length} of ${members.length} members, ${majorityOf(members)} are needed`,
    );
  }

  /**
   * A write has ended, and members of the set may have carried it out. If it succeeded, the members outside of the set miss it. If it
   * failed, they miss each chunk that a member of the set is known to have clean. The other chunks are owed, as the members outside may
   * have the last clean copies (V5). Returns whether anything was added to what is owed.
   */
  missed(range: ByteRange, succeeded: boolean): boolean {
    const memberIds = this.missing();
    if (succeeded || memberIds.length === 0) {
      for (const memberId of memberIds) this.#host.maps.add(memberId, range);
      return false;
    }
    const { make, owed } = this.#judgeAdds({ members: this.#members, inSync: (this.#current as VersionRecord).inSync }, [
      { memberIds, ranges: [range] },
    ]);
    this.#noteMade(make, []);
    if (owed.length > 0) this.#owed.push({ memberIds, ranges: owed });
    return owed.length > 0;
  }

  /**
   * V5: a member returns, and by now the client knows which member has which chunk clean. A chunk that is owed for this member becomes
   * dirty for it if a member of the set has the chunk clean.
   */
  markOwed(memberId: number): void {
    const { maps } = this.#host;
    const inSync = this.#current?.inSync ?? [];
    for (const { ranges } of this.#owed.filter((add) => add.memberIds.includes(memberId))) {
      for (const { offsetBytes, lengthBytes } of ranges) {
        for (let chunk = maps.firstOf(offsetBytes); chunk < maps.endOf(offsetBytes, lengthBytes); chunk++) {
          if (inSync.some((member) => !maps.of(member.memberId).test(chunk))) maps.of(memberId).set(chunk, 1);
        }
      }
    }
  }

  /** Does what is due: asks the witness for a grant, and the members for owed adds. */
  tick(nowMs: number): void {
    this.#greetWitness(nowMs);
    this.#askOwed(nowMs);
  }

  /** Whether adds are owed. They are asked for again and again. */
  get owes(): boolean {
    return this.#owed.length > 0;
  }

  /** The session to the witness is lost. The witness has to grant again. */
  witnessLost(): void {
    this.#witnessEpoch = 0;
    this.#witnessAtMs = 0;
  }

  /** Whether the witness has recorded the current version. */
  get witnessRecorded(): boolean {
    return this.#witnessRecorded;
  }

  /** L8: whether the vote of the witness counts only once it has recorded the current version. */
  get witnessAnew(): boolean {
    return this.#witnessAnew !== null;
  }

  /** Whether the witness has granted the present epoch, so that it can record versions. */
  get witnessReady(): boolean {
    return this.#witnessEpoch !== 0 && this.#witnessEpoch === this.#host.epoch;
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    const current = this.#current;
    assert(!this.#paused || this.majority, 'versions: paused without a quorum');
    for (const { memberIds, ranges } of this.#owed)
      assert(memberIds.length > 0 && ranges.length > 0, 'versions: something is owed for nobody, or nothing is');
    if (current === null) return;
    const data = dataMembers(this.#members);
    const known = current.inSync.every((member) => data.some((other) => sameMember(member, other)));
    assert(known, 'V1: the in-sync set has a member, or a store, that the table lacks');
    assert(current.epoch <= this.#host.epoch && current.seq <= this.#seq, 'V1: a version that this client has not made');
    for (const attempt of this.#attempts) assert(compareVersions(attempt, current) > 0, 'V4: an attempt that is over');
  }

  #record(
    leg: Leg,
    version: VersionRecord,
    members: readonly MemberRecord[],
    policy: PoolPolicy,
    mapAdds: MapAdd[],
    mapKnown: MapKnown[],
    change: VersionChange,
    newLineage: boolean,
    done: (result: { readonly owed: readonly ByteRange[] } | null, reason: string) => void,
  ): void {
    leg.call(
      {
        op: 'record-version',
        poolUuid: this.#host.poolUuid,
        epoch: version.epoch,
        version: { ...version, inSync: [...version.inSync] },
        members: members.map((member) => ({ ...member, addresses: [...member.addresses] })),
        policy: { ...policy, formerLineages: [...policy.formerLineages] },
        newLineage,
        mapAdds,
        mapKnown,
        mapErase: [...(change.erase ?? []), ...(change.joining?.leg === leg ? change.joining.erase : [])],
        maps: [...(change.joining?.columns.get(leg) ?? [])],
      },
      recordedResultSchema,
      (result, failure) => {
        if (result !== null) this.heard(leg, result.mark);
        if (failure !== null && isFenced(failure.failure, this.#host.clientInstance)) this.#host.onFenced(failure.message);
        else done(result, `version ${formatVersion(version)} could not be recorded: ${failure?.message ?? 'no answer'}`);
      },
    );
  }

  /** The witness records last, after all in-sync members. */
  #witnessRecords(
    version: VersionRecord,
    members: readonly MemberRecord[],
    policy: PoolPolicy,
    change: VersionChange,
    attempt: number,
    done: (recorded: boolean) => void,
  ): void {
    const leg = this.#host.witnessLeg();
    if (leg === null || !leg.connected || !this.witnessReady || !members.some(isWitness)) {
      done(false);
      return;
    }
    const plain: VersionChange = { onDurable: change.onDurable };
    this.#record(leg, version, members, policy, [], [], plain, true, (result, reason) => {
      if (attempt !== this.#attempt) return;
      if (result === null) {
        this.#world.log.warn('the witness did not record a version', { node: leg.member.name, reason });
        this.witnessLost();
      }
      done(result !== null);
    });
  }

  /** Asks the witness to grant this client's epoch, when it can be reached and has not done so yet. */
  #greetWitness(nowMs: number): void {
    const leg = this.#host.witnessLeg();
    if (leg === null || !leg.connected || this.witnessReady || this.#witnessBusy || nowMs < this.#witnessAtMs) return;
    this.#witnessBusy = true;
    const { poolUuid, clientInstance, clientName, epoch } = this.#host;
    if (leg.probe === null) {
      // A probe tells the store of the witness. Each session has to ask for it again.
      leg.call({ op: 'probe', poolUuid }, probeResultSchema, (result, failure) => {
        this.#witnessBusy = false;
        this.#witnessAtMs = result === null ? this.#world.clock.nowMs() + RETURN_RETRY_MS_MAX / 30 : 0;
        leg.problem = failure?.message ?? '';
        if (leg.connected) leg.probe = result;
      });
      return;
    }
    leg.call({ op: 'claim', poolUuid, epoch, clientInstance, clientName, takeover: false }, claimResultSchema, (result, failure) => {
      this.#witnessBusy = false;
      this.#witnessAtMs = this.#world.clock.nowMs() + RETURN_RETRY_MS_MAX / 30;
      if (failure !== null && isFenced(failure.failure, clientInstance)) {
        this.#host.onFenced(failure.message);
        return;
      }
      leg.problem = failure?.message ?? '';
      if (result === null || !leg.connected) return;
      const { memory } = this;
      const store = {
        memberId: leg.member.memberId,
        storeUuid: leg.storeUuid ?? '',
        version: result.version,
        past: result.past,
        members: result.members,
      };
      leg.rolledBack =
        memory === null
          ? null
          : rolledBack(store, [{ who: 'this client', version: memory.durable, members: memory.members, durable: false }]);
      if (leg.rolledBack !== null) {
        this.#world.log.error('the store of the witness went back in time; it votes once it has recorded the version', {
          node: leg.member.name,
          why: `${leg.describe()} ${leg.rolledBack.why}`,
        });
        this.#witnessAnew = seenAt(markOf(result.past), this.#world.clock.wallMs());
        this.#witnessRecorded = false;
      } else {
        this.heard(leg, markOf(result.past));
      }
      this.#witnessEpoch = epoch;
    });
  }

  /**
   * L8: the member table in which the members that are accepted anew carry this version. A witness that is accepted anew carries the
   * first version that is made.
   */
  #withAnew({ members = this.#members, anew = [] }: VersionChange, { epoch, seq }: VersionRecord): readonly MemberRecord[] {
    const seen = this.#witnessAnew;
    return members.map((member) => {
      if (seen !== null && isWitness(member)) return { ...member, seen, anew: { epoch, seq } };
      return anew.includes(member.memberId) ? { ...member, anew: { epoch, seq } } : member;
    });
  }

  /** V5: asks the members again for an owed add, until all of them have made it. */
  #askOwed(nowMs: number): void {
    if (this.#owed.length === 0 || this.#owedBusy || nowMs - this.#owedAskedMs < MAP_CHECK_URGENT_MS) return;
    this.#owedAskedMs = nowMs;
    const add = this.#owed.shift() as MapAdd;
    this.#owed.push(add);
    const { make, owed: rest } = this.#judgeAdds({ members: this.#members, inSync: (this.#current as VersionRecord).inSync }, [add]);
    const [asked] = make;
    if (asked === undefined) return;
    this.#owedBusy = true;
    const attempt = this.#attempt;
    const legs = this.#host.normalLegs();
    let left = legs.length;
    for (const leg of legs) {
      leg.call(
        { op: 'map-add', poolUuid: this.#host.poolUuid, epoch: this.#host.epoch, versionSeq: this.#seq, add: asked },
        owedResultSchema,
        (result) => {
          rest.push(...(result?.owed ?? asked.ranges));
          if (--left > 0) return;
          this.#owedBusy = false;
          if (attempt !== this.#attempt || !this.#owed.includes(add)) return;
          this.#noteMade([asked], rest);
          this.#owed = this.#owed.filter((other) => other !== add);
          if (rest.length > 0) this.#owed.push({ memberIds: add.memberIds, ranges: mergeRanges(rest) });
          this.#host.onOwedChanged(this.owed);
        },
      );
    }
  }
}

/** What a version changes besides the set. The set is that of the NORMAL legs, and of the joining one. */
export interface VersionChange {
  /** The member that comes into the set with this version (V3), and by leg the staged columns that come into use with it. */
  readonly joining?: {
    readonly leg: Leg;
    readonly columns: ReadonlyMap<Leg, readonly ColumnDigest[]>;
    readonly newLineage: boolean;
    /** The members whose maps the joining member alone erases. */
    readonly erase: readonly number[];
  };
  readonly members?: readonly MemberRecord[];
  readonly policy?: PoolPolicy;
  /** The members that become all-dirty: a new member, or a member with a new store. */
  readonly allDirty?: readonly number[];
  /** The members among {@link allDirty} that are accepted anew (L8). */
  readonly anew?: readonly number[];
  /** The members whose maps are erased everywhere. */
  readonly erase?: readonly number[];
  /**
   * Called when the version is durable on all members of its set. IO still waits then. It goes on waiting while
   * {@link Versions.paused}.
   */
  readonly onDurable: (version: VersionRecord) => void;
}

/** L9: the member table with the new places of members that have moved. `legs` lead to these places. */
function withMoved(members: readonly MemberRecord[], legs: readonly Leg[]): readonly MemberRecord[] {
  return members.map((member) => {
    const leg = legs.find((each) => each.moved && each.member.memberId === member.memberId);
    return leg === undefined ? member : { ...member, name: leg.member.name, addresses: leg.member.addresses };
  });
}

/** The member table with the newer marks of the same stores and lives that were heard while the table was being recorded. */
function withNewerMarks(members: readonly MemberRecord[], heard: readonly MemberRecord[]): MemberRecord[] {
  return members.map((member) => {
    const { seen, anew } = heard.find(({ memberId, storeUuid }) => memberId === member.memberId && storeUuid === member.storeUuid) ?? {};
    // A mark that was heard before a store was accepted anew says nothing of that store (L8), not even in the same life.
    if (seen === undefined || anew?.epoch !== member.anew?.epoch || anew?.seq !== member.anew?.seq) return member;
    const isNewer = member.seen === undefined || (member.seen.lifeUuid === seen.lifeUuid && seen.age > member.seen.age);
    return isNewer ? { ...member, seen } : member;
  });
}

/** The adds without those for a member that has returned: the writes that these adds are for are sent again. */
function withoutMember(adds: readonly MapAdd[], memberId: number): MapAdd[] {
  return adds
    .map((add) => ({ ...add, memberIds: add.memberIds.filter((id) => id !== memberId) }))
    .filter((add) => add.memberIds.length > 0);
}

/** What a client that has served the pool remembers of its versions (L5). */
export interface VersionMemory {
  /** Durable on all members of its set. */
  readonly durable: VersionRecord;
  /** Later attempts that may have reached a member (V4), oldest first. */
  readonly attempts: readonly VersionRecord[];
  /** Member table and policy of the durable version: those of an attempt don't count. */
  readonly members: readonly MemberRecord[];
  readonly policy: PoolPolicy;
}

/**
 * L5: whether the client that made these versions may go on with the members that `has` accepts. It may if they include one of its last
 * durable version and one of every later attempt, and no version exists that it did not make.
 */
export function mayGoOn({ durable, attempts }: VersionMemory, highest: VersionRecord, has: (member: InSyncMember) => boolean): boolean {
  const newest = attempts[attempts.length - 1] ?? durable;
  if (highest.lineageUuid !== newest.lineageUuid || compareVersions(highest, newest) > 0) return false;
  const there = durable.inSync.filter(has);
  return there.length > 0 && attempts.every((attempt) => attempt.inSync.some((member) => there.some((other) => sameMember(member, other))));
}

/** What the versions of a pool need from its client. */
export interface VersionsHost {
  readonly poolUuid: string;
  readonly clientInstance: string;
  readonly clientName: string;
  readonly epoch: number;
  readonly maps: PoolMaps;
  /** The legs that are NORMAL. */
  normalLegs(): readonly Leg[];
  witnessLeg(): Leg | null;
  /** Stops IO that changes data until a version is durable: none of it is sent and none completes (W5). `readsToo`: reads stop as well. */
  awaitVersion(readsToo: boolean): void;
  /** The ranges of the writes in flight. */
  incompleteWriteRanges(): ByteRange[];
  /** The sequence number of the newest write. */
  readonly writeSeq: number;
  onFenced(by: string): void;
  /** A leg did not record the version. It leaves, or its return ends, with a version that supersedes this one (V4). */
  onNotRecorded(leg: Leg, reason: string): void;
  /** All in-sync members have recorded the version, but too few members for the quorum. IO pauses. `what`: what the pool waits for. */
  onPaused(what: string): void;
  /** The owed adds have changed. `ranges` are those that are still owed. */
  onOwedChanged(ranges: readonly ByteRange[]): void;
}
