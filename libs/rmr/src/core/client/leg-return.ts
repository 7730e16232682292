import { assert, TICK_INTERVAL_MS } from '@rmr/runtime';
import { SPREAD_REST_LEAVES, SPREAD_ROUNDS_MAX } from '../../constants.ts';
import type { StoreMark, VersionRecord } from '../../pool-store.ts';
import { formatVersion } from '../../version.ts';
import {
  type ClaimResult,
  type ControlFailure,
  claimResultSchema,
  emptyResultSchema,
  type ProbeResult,
  probeResultSchema,
} from '../../wire/control-message.ts';
import { markOf } from '../store-past.ts';
import { markReturning, unsharedChunks } from './assembly.ts';
import type { Leg } from './leg.ts';
import { type ColumnDigest, MapSpread } from './map-spread.ts';
import type { PoolMaps } from './pool-maps.ts';
import type { RolledBack } from './rolled-back.ts';
import type { VersionMemory } from './version-memory.ts';

/** What a return needs from its pool. */
export interface ReturnHost {
  readonly poolUuid: string;
  readonly epoch: number;
  readonly maps: PoolMaps;
  /** All members with data. */
  readonly memberIds: readonly number[];
  readonly lineageUuid: string;
  readonly clientInstance: string;
  readonly clientName: string;
  /** The legs that are NORMAL. */
  inSyncLegs(): readonly Leg[];
  /** The members that are away, and are known to have left the set before this one. */
  leftBefore(memberId: number): readonly number[];
  /** V5: of what is owed for the member, it misses what one of the set has clean. */
  markOwed(memberId: number): void;
  /** L8: the member has told how old its store is. */
  heard(leg: Leg, mark: StoreMark): void;
  /** L8: what this client knows of the stores of members now. */
  knowledge(): VersionMemory | null;
  /** L8: the newest write that each leg has answered since it was enabled, by its index; 0: none. */
  readonly answeredSeqs: Float64Array;
  /** L8: why its store can't be what it was, by what was known when it was asked; null: it can. */
  rolledBack(leg: Leg, store: Pick<ClaimResult, 'version' | 'past' | 'members'>, known: VersionMemory | null): RolledBack | null;
  /** Why a member that answers can't take part, or an empty string. */
  unfit(leg: Leg, probe: ProbeResult): string;
  /** Brings the maps of the in-sync members to the truth, which they know. `done` gets whether that worked. */
  refreshMaps(done: (known: boolean) => void): void;
  /** The maps were changed: what depends on them is looked at again. */
  onMapsChanged(): void;
  /** Freezes IO that changes data, and calls back when everything has been answered (L4). */
  hold(onQuiet: () => void): void;
  /** Records the version with the leg in its set on all its members; calls back when it is durable there (V3). */
  grow(
    leg: Leg,
    columns: ReadonlyMap<Leg, readonly ColumnDigest[]>,
    newLineage: boolean,
    /** What the member has maps of, and is no member any more. */
    erase: readonly number[],
    onDurable: (version: VersionRecord) => void,
  ): void;
  /** The member is enabled: it takes part in IO from here on. */
  joined(leg: Leg, version: VersionRecord): void;
  /** Members that have not recorded the version under way yet. */
  recording(): ReadonlySet<Leg>;
  /** IO is held for so many milliseconds for the returning member alone, at most (L4). */
  readonly holdMsMax: number;
  /** It did not work. `isOld`: the member's store went back in time (L8). `heldUp`: it was given up as it held up IO for too long (L4). */
  gaveUp(leg: Leg, reason: string, failure: ControlFailure | null, isOld: boolean, heldUp: boolean): void;
}

const NOBODY: ReadonlySet<Leg> = new Set();
/** A tick that comes so late says that this process did not run: that is not the member's time. */
const LATE_TICK_MS = 10 * TICK_INTERVAL_MS;

/**
 * The return of one member to the in-sync set while others serve (L3): drain, mark what it may lack, spread the maps,
 * freeze, record the version, enable. Anything unexpected ends it; the pool tries again later.
 */
export class LegReturn {
  readonly leg: Leg;
  readonly #host: ReturnHost;
  #spreads: MapSpread[] = [];
  #rounds = 0;
  #held = false;
  #ended = false;
  #newLineage = false;
  #erase: readonly number[] = [];
  /** Chunks that the member comes back with and nobody in sync can be compared with. */
  #unshared: readonly number[] = [];
  /** What was marked for others on account of these chunks: it counts with the version of this return, or not at all. */
  #marked: { readonly memberId: number; readonly chunk: number }[] = [];
  /** The legs that have not answered the step under way. */
  #unanswered: () => ReadonlySet<Leg> = () => NOBODY;
  #tickedMs = 0;
  #heldForMs = 0;
  /** What it is doing, for people. */
  phase = 'asking the member';

  constructor(host: ReturnHost, leg: Leg) {
    this.#host = host;
    this.leg = leg;
  }

  /** Whether a map update has begun, which only a version ends. */
  get held(): boolean {
    return this.#held;
  }

  start(): void {
    const { leg } = this;
    const known = this.#host.knowledge();
    leg.call({ op: 'probe', poolUuid: this.#host.poolUuid }, probeResultSchema, (probe, failure) => {
      if (this.#ended) return;
      leg.hasNoStore = failure?.code === 'UNKNOWN_POOL';
      // What was found before may be of another store.
      if (probe?.identity.storeUuid !== leg.storeUuid) leg.rolledBack = null;
      if (probe === null) {
        this.#giveUp(failure?.message ?? 'no answer', failure?.failure ?? null);
        return;
      }
      leg.probe = probe;
      leg.poolHandle = probe.poolHandle;
      const unfit = this.#host.unfit(leg, probe);
      if (unfit !== '') this.#giveUp(unfit, null);
      // W8: it would leave again with the next write.
      else if (probe.lacksSpace !== undefined) this.#giveUp(`${leg.describe()} ${probe.lacksSpace}`, null);
      else if (this.#isWhatItWas(probe, known)) this.#claim();
    });
  }

  /**
   * L4: while IO is held, the member that returns has to answer at once: what the others wait for is clients' time. Called with every
   * tick. What the members in sync take counts for nothing, as IO would wait for them too.
   */
  tick(nowMs: number): void {
    const sinceMs = nowMs - this.#tickedMs;
    this.#tickedMs = nowMs;
    if (this.#ended || !this.#held || sinceMs > LATE_TICK_MS) return;
    const unanswered = this.#unanswered();
    if (unanswered.size !== 1 || !unanswered.has(this.leg)) return;
    this.#heldForMs += sinceMs;
    const { holdMsMax } = this.#host;
    if (this.#heldForMs < holdMsMax) return;
    this.#giveUp(`its return held up IO for ${holdMsMax} ms (${this.phase}), and was given up`, null, false, true);
  }

  /** Ends it without a word to the host. */
  cancel(): void {
    this.#ended = true;
    for (const { memberId, chunk } of this.#marked.splice(0)) this.#host.maps.of(memberId).clear(chunk, 1);
    for (const spread of this.#spreads) spread.cancel();
  }

  /** Rechecks the invariants of this class; for a return that has not ended. */
  verify(): void {
    const { leg } = this;
    assert(!this.#ended, 'return: it has ended, and goes on');
    assert(leg.state !== 'NORMAL' && leg.state !== 'REMOVING', 'L3: a leg returns that is in the set, or on its way out');
    const marked = this.#marked.every(
      ({ memberId, chunk }) => memberId !== leg.member.memberId && this.#host.maps.of(memberId).test(chunk),
    );
    assert(marked, 'I2: what was marked on account of a return is clean before its version is durable');
    assert(this.#marked.length === 0 || this.#held, 'return: others are marked before the freeze');
  }

  #giveUp(reason: string, failure: ControlFailure | null, isOld = false, heldUp = false): void {
    this.cancel();
    this.#host.gaveUp(this.leg, reason, failure, isOld, heldUp);
  }

  /** L8: whether its store is what it was, by what was known when it was asked. If not, the return is over. */
  #isWhatItWas(store: Pick<ClaimResult, 'version' | 'past' | 'members'>, known: VersionMemory | null): boolean {
    const { leg } = this;
    const found = this.#host.rolledBack(leg, store, known);
    // That it was is told until it is back.
    leg.rolledBack = found ?? leg.rolledBack;
    if (found !== null) this.#giveUp(`${leg.describe()} ${found.why}`, null, true);
    return found === null;
  }

  /**
   * L8: whether a member that this client has enabled, on a host that has not been down since, lacks a write that it has answered: a
   * process that dies loses none (◆3), however young the copy is that was put in its place. If so, the return is over.
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

  /** The member drains or discards what it has of this client (◆17), and says what it may lack. */
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
      // L8: what it has granted counts, and not what it was when it was asked.
      if (!this.#isWhatItWas(claim, known) || this.#lacksWrites(claim)) return;
      this.#host.heard(leg, markOf(claim.past));
      // Whether others have a chunk clean is judged by what they say themselves: the client's maps may be dirtier than the truth.
      this.phase = 'asking the other members what they have clean';
      this.#host.refreshMaps((known) => {
        if (this.#ended) return;
        if (known) this.#mark(claim);
        else this.#giveUp('the other members did not say what they have clean', null);
      });
    });
  }

  /** What it may lack, besides what it missed. Its own columns count for nothing (◆14). */
  #mark(claim: ClaimResult): void {
    const { epoch, maps, memberIds, lineageUuid } = this.#host;
    const { memberId } = this.leg.member;
    const { version, volatileLost, lastIo, intent, unreadable } = claim;
    this.#newLineage = version !== null && version.lineageUuid !== lineageUuid;
    // Members were removed while it was away.
    this.#erase = claim.columns.map((column) => column.memberId).filter((id) => !memberIds.includes(id));
    if (this.#newLineage) {
      // A store of another lineage has nothing that counts.
      maps.of(memberId).set(0, maps.chunkCount);
    } else {
      const inSync = this.#host.inSyncLegs().map((other) => other.member.memberId);
      this.#host.markOwed(memberId);
      const grant = { memberId, version, volatileLost, lastIo, intent, unreadable, columns: new Map() };
      // What it was sent by this client needs no suspicion: the version that it left with has marked what was in flight (V2), or
      // that is owed (V5). A good copy more matters where the disks of the others can't read theirs (I8).
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
    // What others hold may be dirtier than what was judged by here. Of members outside of the set nobody clears anything; one
    // of the set may be away at the next assembly, and cannot speak for itself then: the last clean copy would be forgotten (V5, I8).
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

  /** One round of copying while IO goes on; the freeze begins when little is left. */
  #round(): void {
    this.#rounds++;
    this.#runSpreads(() => {
      if (this.#differing() > SPREAD_REST_LEAVES && this.#rounds < SPREAD_ROUNDS_MAX) this.#round();
      else this.#freeze();
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

  #freeze(): void {
    this.phase = 'freezing IO for the map update';
    this.#held = true;
    const { poolUuid, epoch } = this.#host;
    const legs = this.#host.inSyncLegs();
    // A member that heard of the freeze only after the version that ends it would bounce for ever what waits for chunks there.
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
        if (result === null) this.#giveUp(`${leg.describe()} did not freeze: ${failure?.message ?? 'no answer'}`, failure?.failure ?? null);
        else quiet();
      });
    }
    if (!this.#ended) this.#host.hold(quiet);
  }

  /**
   * I2: where the member comes back with a chunk that nobody in sync has, it is the authority: the others that are away may
   * lack what it had got of a write when its client died. Under the freeze, so that nothing else marks them meanwhile.
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
   * Maps change under the freeze too, now and then: a chunk is found to be clean, an owed add is made. The record names
   * the maps as they are, so that they have to be handed over as they are.
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
      // With that it forgets which write was the newest.
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
