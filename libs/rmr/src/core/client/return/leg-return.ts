import { assert, TICK_INTERVAL_MS } from '@rmr/runtime';
import { SPREAD_REST_LEAVES, SPREAD_ROUNDS_MAX } from '../../../constants.ts';
import type { StoreMark, VersionRecord } from '../../../pool-store.ts';
import { formatVersion } from '../../../version.ts';
import {
  type ClaimResult,
  type ControlFailure,
  claimResultSchema,
  emptyResultSchema,
  type ProbeResult,
  probeResultSchema,
} from '../../../wire/control-message.ts';
import { markOf } from '../../store-past.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolMaps } from '../pool-maps.ts';
import { markReturning, unsharedChunks } from '../recovery/assembly.ts';
import type { VersionMemory } from '../versions/versions.ts';
import { type ColumnDigest, MapSpread } from './map-spread.ts';
import type { RolledBack } from './rolled-back.ts';

/**
 * The return of one member to the in-sync set while others serve (L3). Its steps: drain, mark what the member may lack, spread the maps,
 * begin the map update, record the version, enable. Anything unexpected ends the return. The pool tries again later.
 */
export class LegReturn {
  readonly leg: Leg;
  readonly #host: ReturnHost;
  #spreads: MapSpread[] = [];
  #rounds = 0;
  #updatesMaps = false;
  #ended = false;
  #newLineage = false;
  #erase: readonly number[] = [];
  /** The chunks that the member has clean and no in-sync member has, so that they can't be compared. */
  #unshared: readonly number[] = [];
  /**
   * What was marked dirty for other members because of {@link #unshared}. It counts if the version of this return becomes durable, or
   * not at all.
   */
  #marked: { readonly memberId: number; readonly chunk: number }[] = [];
  /** The legs that have not answered the step under way. */
  #unanswered: () => ReadonlySet<Leg> = () => NOBODY;
  #tickedMs = 0;
  #heldForMs = 0;
  /** The step under way, for people. */
  phase = 'asking the member';

  constructor(host: ReturnHost, leg: Leg) {
    this.#host = host;
    this.leg = leg;
  }

  /** Whether a map update has begun. Only a version ends it. */
  get updatesMaps(): boolean {
    return this.#updatesMaps;
  }

  start(): void {
    const { leg } = this;
    const known = this.#host.knowledge();
    leg.call({ op: 'probe', poolUuid: this.#host.poolUuid }, probeResultSchema, (probe, failure) => {
      if (this.#ended) return;
      leg.hasNoStore = failure?.code === 'UNKNOWN_POOL';
      // What was found out earlier may concern another store.
      if (probe?.identity.storeUuid !== leg.storeUuid) leg.rolledBack = null;
      if (probe === null) {
        this.#giveUp(failure?.message ?? 'no answer', failure?.failure ?? null);
        return;
      }
      leg.probe = probe;
      leg.poolHandle = probe.poolHandle;
      const unfit = this.#host.unfit(leg, probe);
      if (unfit !== '') this.#giveUp(unfit, null);
      // W8: without space the member would leave again with the next write.
      else if (probe.lacksSpace !== undefined) this.#giveUp(`${leg.describe()} ${probe.lacksSpace}`, null);
      else if (this.#isWhatItWas(probe, known)) this.#claim();
    });
  }

  /**
   * L4: while IO is held, the returning member has to answer at once, because clients wait for it. If it holds IO for too long, the
   * return is given up. Time in which an in-sync member has not answered either does not count, as IO would wait for that member anyway.
   * Called with every tick.
   */
  tick(nowMs: number): void {
    const sinceMs = nowMs - this.#tickedMs;
    this.#tickedMs = nowMs;
    if (this.#ended || !this.#updatesMaps || sinceMs > LATE_TICK_MS) return;
    const unanswered = this.#unanswered();
    if (unanswered.size !== 1 || !unanswered.has(this.leg)) return;
    this.#heldForMs += sinceMs;
    const { holdMsMax } = this.#host;
    if (this.#heldForMs < holdMsMax) return;
    this.#giveUp(`its return held up IO for ${holdMsMax} ms (${this.phase}), and was given up`, null, false, true);
  }

  /** Ends the return without telling the host. */
  cancel(): void {
    this.#ended = true;
    for (const { memberId, chunk } of this.#marked.splice(0)) this.#host.maps.of(memberId).clear(chunk, 1);
    for (const spread of this.#spreads) spread.cancel();
  }

  /** Rechecks the invariants of this class. Only for a return that has not ended. */
  verify(): void {
    const { leg } = this;
    assert(!this.#ended, 'return: it has ended, and goes on');
    assert(leg.state !== 'NORMAL' && leg.state !== 'REMOVING', 'L3: a leg returns that is in the set, or on its way out');
    const marked = this.#marked.every(
      ({ memberId, chunk }) => memberId !== leg.member.memberId && this.#host.maps.of(memberId).test(chunk),
    );
    assert(marked, 'I2: what was marked on account of a return is clean before its version is durable');
    assert(this.#marked.length === 0 || this.#updatesMaps, 'return: others are marked before the map update');
  }

  #giveUp(reason: string, failure: ControlFailure | null, isOld = false, heldUp = false): void {
    this.cancel();
    this.#host.gaveUp(this.leg, reason, failure, isOld, heldUp);
  }

  /** L8: whether the store has all that was `known` of it when it was asked. If it went back in time, the return ends. */
  #isWhatItWas(store: Pick<ClaimResult, 'version' | 'past' | 'members'>, known: VersionMemory | null): boolean {
    const { leg } = this;
    const found = this.#host.rolledBack(leg, store, known);
    // Status tells that a store went back in time until the member is in the set again.
    leg.rolledBack = found ?? leg.rolledBack;
    if (found !== null) this.#giveUp(`${leg.describe()} ${found.why}`, null, true);
    return found === null;
  }

  /**
   * L8: whether the member lacks a write that it has answered to this client. That is known if this client has enabled the member, and
   * its host has not been down since: a process that dies loses no write that it has answered (◆3). So a younger copy was put in the
   * place of the store. The return ends then.
   */
  #lacksWrites({ lastWriteSeq, volatileLost }: ClaimResult): boolean {
    const { leg } = this;
    const isOther = leg.storeUuid !== leg.servedStoreUuid;
    const isSameBoot = leg.bootId !== null && leg.bootId === leg.servedBootId;
    if (
      volatileLost ||
      !isSameBoot ||
      leg.servedEpoch !== this.#host.epoch ||
      isOther ||
      lastWriteSeq >= (this.#host.answeredSeqs[leg.index] as number)
    )
      return false;
    leg.rolledBack = { why: 'has a store that lacks writes which it had answered to this client', newerAtMs: null, lacksWrites: true };
    this.#giveUp(`${leg.describe()} ${leg.rolledBack.why}`, null, true);
    return true;
  }

  /** The member drains or discards what this client has sent it (◆17), and says what it may lack. */
  #claim(): void {
    const { leg } = this;
    const { poolUuid, epoch, clientInstance, clientName } = this.#host;
    if (leg.state !== 'RECONNECTING') leg.setState('RECONNECTING', 'the session is back and the member has answered');
    this.phase = 'waiting for the member to end what it was doing';
    const known = this.#host.knowledge();
    leg.call({ op: 'claim', poolUuid, epoch, clientInstance, clientName, takeover: false }, claimResultSchema, (claim, failure) => {
      if (this.#ended) return;
      if (claim === null) {
        this.#giveUp(failure?.message ?? 'no answer', failure?.failure ?? null);
        return;
      }
      // L8: the grant counts, and not the probe before it.
      if (!this.#isWhatItWas(claim, known) || this.#lacksWrites(claim)) return;
      this.#host.heard(leg, markOf(claim.past));
      // Whether other members have a chunk clean is judged by their own answers. The client's maps may be dirtier than the truth.
      this.phase = 'asking the other members what they have clean';
      this.#host.refreshMaps((known) => {
        if (this.#ended) return;
        if (known) this.#mark(claim);
        else this.#giveUp('the other members did not say what they have clean', null);
      });
    });
  }

  /** Marks what the member may lack besides what it missed. The member's own columns do not count (◆14). */
  #mark(claim: ClaimResult): void {
    const { epoch, maps, memberIds, lineageUuid } = this.#host;
    const { memberId } = this.leg.member;
    const { version, volatileLost, lastIo, intent, unreadable } = claim;
    this.#newLineage = version !== null && version.lineageUuid !== lineageUuid;
    // These members were removed while this one was away.
    this.#erase = claim.columns.map((column) => column.memberId).filter((id) => !memberIds.includes(id));
    if (this.#newLineage) {
      // Nothing counts that a store of another lineage has.
      maps.of(memberId).set(0, maps.chunkCount);
    } else {
      const inSync = this.#host.inSyncLegs().map((other) => other.member.memberId);
      this.#host.markOwed(memberId);
      const grant = { memberId, version, volatileLost, lastIo, intent, unreadable, columns: new Map() };
      // Writes that this client itself has sent are not suspect. The version with which the member left has marked those in flight (V2),
      // or they are owed (V5). And a further good copy matters where the disks of the others can't read theirs (I8).
      const suspect = this.leg.servedEpoch === epoch ? { ...grant, lastIo: [] } : grant;
      markReturning(maps, suspect, inSync, memberIds, this.#host.leftBefore(memberId));
      this.#unshared = unsharedChunks(maps, grant, inSync);
    }
    this.#host.onMapsChanged();
    this.#spread(memberIds);
  }

  #spread(memberIds: readonly number[]): void {
    const { poolUuid, epoch, maps } = this.#host;
    this.phase = 'copying the dirty maps';
    const inSync = this.#host.inSyncLegs();
    // The maps that members hold may be dirtier than the client's, by which the return was judged. Nobody clears the maps of members
    // that are outside of the set. A member of the set may be away at the next assembly, and can't speak for itself then: its last clean
    // copy would be forgotten (V5, I8).
    this.#spreads = [
      new MapSpread(this.leg, poolUuid, epoch, maps, memberIds),
      ...inSync.map(
        (leg) =>
          new MapSpread(
            leg,
            poolUuid,
            epoch,
            maps,
            memberIds.filter((memberId) => memberId !== leg.member.memberId),
          ),
      ),
    ];
    this.#round();
  }

  /** Copies maps once while IO goes on. The map update begins when little is left to copy. */
  #round(): void {
    this.#rounds++;
    this.#runSpreads(() => {
      if (this.#differing() > SPREAD_REST_LEAVES && this.#rounds < SPREAD_ROUNDS_MAX) this.#round();
      else this.#beginMapUpdate();
    });
  }

  #differing(): number {
    return this.#spreads.reduce((sum, spread) => sum + spread.differing(), 0);
  }

  #runSpreads(done: () => void): void {
    const left = new Set(this.#spreads.map((spread) => spread.leg));
    this.#unanswered = () => left;
    for (const spread of this.#spreads) {
      spread.run((failure) => {
        if (this.#ended) return;
        left.delete(spread.leg);
        if (failure !== null) this.#giveUp(`${spread.leg.describe()} did not take over the dirty maps: ${failure}`, null);
        else if (left.size === 0) done();
      });
    }
  }

  #beginMapUpdate(): void {
    this.phase = 'letting writes end for the map update';
    this.#updatesMaps = true;
    const { poolUuid, epoch } = this.#host;
    const legs = this.#host.inSyncLegs();
    // The version that ends the map update must not overtake it: a member that heard of the map update later would bounce for ever what waits
    // for chunks there.
    let left = legs.length + 1;
    const quiet = (): void => {
      if (this.#ended || --left > 0) return;
      this.phase = 'handing over the last of the dirty maps';
      this.#rounds = 0;
      this.#markOthers();
      this.#handOver();
    };
    for (const leg of legs) {
      leg.call({ op: 'freeze', poolUuid, epoch }, emptyResultSchema, (result, failure) => {
        if (this.#ended) return;
        if (result === null)
          this.#giveUp(
            `${leg.describe()} did not take part in the map update: ${failure?.message ?? 'no answer'}`,
            failure?.failure ?? null,
          );
        else quiet();
      });
    }
    if (!this.#ended) this.#host.quiesce(quiet);
  }

  /**
   * I2: if the member returns with a chunk that no in-sync member has clean, it is the authority for that chunk. The members that are
   * away may lack part of a write that this member got when its client died. So the chunk becomes dirty for them. That is done during the
   * map update, so that nothing else marks them meanwhile.
   */
  #markOthers(): void {
    const { maps, memberIds } = this.#host;
    const own = maps.of(this.leg.member.memberId);
    const away = memberIds.filter(
      (id) => id !== this.leg.member.memberId && !this.#host.inSyncLegs().some((leg) => leg.member.memberId === id),
    );
    for (const chunk of this.#unshared.filter((each) => !own.test(each))) {
      for (const memberId of away) if (maps.of(memberId).set(chunk, 1) > 0) this.#marked.push({ memberId, chunk });
    }
  }

  /**
   * Hands over the last differences. The record names the maps as they are, so the members must have them as they are. Maps change during
   * the map update, too, when a chunk is found to be clean or an owed add is made. Then they are handed over once more.
   */
  #handOver(): void {
    this.#rounds++;
    this.#runSpreads(() => {
      if (this.#differing() === 0) this.#record();
      else if (this.#rounds < SPREAD_ROUNDS_MAX) this.#handOver();
      else this.#giveUp('the dirty maps changed faster than they could be handed over', null);
    });
  }

  #record(): void {
    this.phase = 'recording the new version';
    this.#unanswered = () => this.#host.recording();
    const columns = new Map(this.#spreads.map((spread) => [spread.leg, spread.digests()]));
    this.#host.grow(this.leg, columns, this.#newLineage, this.#erase, (version) => {
      if (this.#ended) return;
      this.#marked = [];
      this.phase = 'enabling the member';
      const { leg } = this;
      const enabled = new Set([leg]);
      this.#unanswered = () => enabled;
      // An enabled member forgets which write was the newest.
      this.#host.answeredSeqs[leg.index] = 0;
      leg.call(
        { op: 'enable', poolUuid: this.#host.poolUuid, epoch: version.epoch, versionSeq: version.seq },
        emptyResultSchema,
        (result, failure) => {
          if (this.#ended) return;
          if (result === null)
            this.#giveUp(`version ${formatVersion(version)}: ${failure?.message ?? 'no answer'}`, failure?.failure ?? null);
          else this.#host.joined(leg, version);
        },
      );
    });
  }
}

const NOBODY: ReadonlySet<Leg> = new Set();
/** A tick that comes later than this shows that this process did not run. That time is not counted against the member. */
const LATE_TICK_MS = 10 * TICK_INTERVAL_MS;

/** What a return needs from its pool. */
export interface ReturnHost {
  readonly poolUuid: string;
  readonly epoch: number;
  readonly maps: PoolMaps;
  /** The ids of all members with data. */
  readonly memberIds: readonly number[];
  readonly lineageUuid: string;
  readonly clientInstance: string;
  readonly clientName: string;
  /** The legs that are NORMAL. */
  inSyncLegs(): readonly Leg[];
  /** The members that are away and left the set before this one did. */
  leftBefore(memberId: number): readonly number[];
  /** V5: marks each chunk that is owed for the member dirty for it, if a member of the set has the chunk clean. */
  markOwed(memberId: number): void;
  /** L8: the member has told how old its store is. */
  heard(leg: Leg, mark: StoreMark): void;
  /** L8: what this client knows of the members' stores at this moment. */
  knowledge(): VersionMemory | null;
  /** L8: by leg index: the sequence number of the newest write that the leg has answered since it was enabled. 0 if there is none. */
  readonly answeredSeqs: Float64Array;
  /** L8: why the member's store went back in time, by what was `known` when the store was asked. Null if it did not. */
  rolledBack(leg: Leg, store: Pick<ClaimResult, 'version' | 'past' | 'members'>, known: VersionMemory | null): RolledBack | null;
  /** Why a member that answers can't take part. Empty if it can. */
  unfit(leg: Leg, probe: ProbeResult): string;
  /** Asks the in-sync members what they have clean, so that their maps here are true. `done` is told whether that worked. */
  refreshMaps(done: (known: boolean) => void): void;
  /** The maps have changed. What depends on them is looked at again. */
  onMapsChanged(): void;
  /** Sends no more IO that changes data. Calls `onQuiet` when the members have answered all of it that is in flight (L4). */
  quiesce(onQuiet: () => void): void;
  /** Records a version with the leg in its set on all members of the set. Calls `onDurable` when it is durable there (V3). */
  grow(
    leg: Leg,
    columns: ReadonlyMap<Leg, readonly ColumnDigest[]>,
    newLineage: boolean,
    /** Former members of which the returning member still has maps. */
    erase: readonly number[],
    onDurable: (version: VersionRecord) => void,
  ): void;
  /** The member is enabled. It takes part in IO from now on. */
  joined(leg: Leg, version: VersionRecord): void;
  /** The legs that have not recorded the version under way yet. */
  recording(): ReadonlySet<Leg>;
  /** The longest time, in milliseconds, for which IO is held for the returning member alone (L4). */
  readonly holdMsMax: number;
  /** The return failed. `isOld`: the member's store went back in time (L8). `heldUp`: the return held up IO for too long (L4). */
  gaveUp(leg: Leg, reason: string, failure: ControlFailure | null, isOld: boolean, heldUp: boolean): void;
}
