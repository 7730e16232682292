import { assert, formatSize, randomUuid, type World } from '@rmr/runtime';
import { RECOVERY_RETRY_MS, RECOVERY_RETRY_MS_MAX } from '../../constants.ts';
import type { ByteRange, InSyncMember, MemberRecord, VersionRecord } from '../../pool-store.ts';
import { compareVersions, formatVersion, isInSync, sameMember } from '../../version.ts';
import { type ClaimResult, claimResultSchema, emptyResultSchema, type ProbeResult, probeResultSchema } from '../../wire/control-message.ts';
import type { Leg } from './leg.ts';
import { Reconciler } from './reconciler.ts';
import type { SharedSession } from './shared-session.ts';

/** What recovery ends with: these legs hold this version, durably, and are enabled. */
export interface Assembled {
  readonly version: VersionRecord;
  readonly members: readonly MemberRecord[];
  readonly legs: readonly Leg[];
  readonly geometry: {
    readonly sizeBytes: number;
    readonly chunkSizeBytes: number;
    readonly fastPunch: boolean;
    readonly fastZero: boolean;
  };
  /** Every member may have lost data that it had accepted and not flushed. */
  readonly allVolatileLost: boolean;
}

/** What recovery is given and whom it tells. */
export interface RecoveryOptions {
  readonly poolUuid: string;
  readonly queueDepth: number;
  readonly clientInstance: string;
  readonly clientName: string;
  readonly onWaiting: (what: string) => void;
  readonly onFenced: (by: string) => void;
  readonly onAssembled: (assembled: Assembled) => void;
}

/**
 * Brings a pool into service: probe, claim, assemble, reconcile, record the first version of the new epoch, enable.
 * It starts over at every change and gives up on none; what it waits for is always said.
 *
 * The steps are those of C1 (probes change nothing, and a claim is made only when they satisfy the assemble rule), C2
 * (assembly uses grants only), the assemble rule (every member of the highest version's in-sync set has granted), and
 * reconciliation under a new version.
 */
export class Recovery {
  readonly #world: World;
  readonly #legs: readonly Leg[];
  readonly #options: RecoveryOptions;
  #active = false;
  /** An attempt is under way; its number tells its answers from those of an older one. */
  #busy = false;
  #attempt = 0;
  /** Something changed that the attempt under way may not have seen. */
  #pokedWhileBusy = false;
  #retryAtMs = 0;
  /** Grows while nothing changes. */
  #retryMs = RECOVERY_RETRY_MS;
  /** The highest epoch that this client was ever enabled under. */
  #servedEpoch = 0;
  #highestEpochSeen = 0;
  #reconciler: Reconciler | null = null;
  #participants: readonly Leg[] = [];

  constructor(world: World, legs: readonly Leg[], options: RecoveryOptions) {
    this.#world = world;
    this.#legs = legs;
    this.#options = options;
  }

  /** Starts, or starts over. */
  begin(): void {
    this.#active = true;
    this.#retryMs = RECOVERY_RETRY_MS;
    this.#run();
  }

  /** Something changed. */
  poke(): void {
    if (!this.#active) return;
    this.#retryMs = RECOVERY_RETRY_MS;
    if (this.#busy) this.#pokedWhileBusy = true;
    else this.#run();
  }

  end(): void {
    this.#active = false;
    this.#abandon();
  }

  sessionDown(session: SharedSession): void {
    if (!this.#active || !this.#busy || !this.#participants.some((leg) => leg.session === session)) return;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + RECOVERY_RETRY_MS;
  }

  tick(nowMs: number): void {
    if (!this.#active) return;
    if (!this.#busy && nowMs >= this.#retryAtMs) this.#run();
    if (this.#reconciler !== null) {
      const { leftBytes, totalBytes } = this.#reconciler.progress;
      if (totalBytes > 0)
        this.#options.onWaiting(`reconciliation after a crash, ${formatSize(leftBytes)} of ${formatSize(totalBytes)} left`);
    }
  }

  #abandon(): void {
    this.#attempt++;
    this.#busy = false;
    this.#pokedWhileBusy = false;
    this.#reconciler?.cancel();
    this.#reconciler = null;
    this.#participants = [];
  }

  #wait(what: string): void {
    const again = this.#pokedWhileBusy;
    this.#abandon();
    this.#retryAtMs = this.#world.clock.nowMs() + (again ? 0 : this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RECOVERY_RETRY_MS_MAX);
    this.#options.onWaiting(what);
  }

  #run(): void {
    this.#abandon();
    const connected = this.#legs.filter((leg) => leg.connected);
    if (connected.length === 0) {
      this.#wait(`a storage node to be reachable: ${this.#legs.map((leg) => `${leg.member.name} (${leg.session.lostReason})`).join(', ')}`);
      return;
    }
    this.#busy = true;
    this.#participants = connected;
    const attempt = this.#attempt;
    let left = connected.length;
    for (const leg of connected) {
      leg.call({ op: 'probe', poolUuid: this.#options.poolUuid }, probeResultSchema, (result, failure) => {
        if (attempt !== this.#attempt) return;
        leg.probe = result;
        leg.problem = failure === null ? this.#unfit(leg, result as ProbeResult) : failure.message;
        if (leg.problem !== '') leg.probe = null;
        if (--left === 0) this.#choose();
      });
    }
  }

  /** Why a member that answers can't take part, or an empty string. */
  #unfit(leg: Leg, probe: ProbeResult): string {
    const { identity } = probe;
    if (identity.poolUuid !== this.#options.poolUuid) return `${leg.describe()} has a store of pool ${identity.poolUuid}`;
    if (identity.memberId !== leg.member.memberId) {
      return `${leg.member.name} has the store of member ${identity.memberId}, where this node's configuration expects member ${leg.member.memberId}`;
    }
    if (identity.queueDepth < this.#options.queueDepth) {
      return `${leg.describe()} was created with queue depth ${identity.queueDepth}; configure queueDepth ${identity.queueDepth} or less`;
    }
    leg.poolHandle = probe.poolHandle;
    return '';
  }

  /** C1: decides whether the probes satisfy the assemble rule, and for whom to wait otherwise. */
  #choose(): void {
    const present = this.#legs.filter((leg) => leg.probe !== null);
    for (const leg of present) {
      const promise = (leg.probe as ProbeResult).promise;
      if (promise === null) continue;
      this.#highestEpochSeen = Math.max(this.#highestEpochSeen, promise.epoch);
      if (this.#servedEpoch > 0 && promise.epoch > this.#servedEpoch && promise.clientInstance !== this.#options.clientInstance) {
        this.#options.onFenced(`${promise.clientName} holds epoch ${promise.epoch}`);
        return;
      }
    }
    if (present.length === 0) {
      this.#wait(
        `a storage node with a store of this pool: ${this.#legs.map((leg) => leg.problem || `${leg.member.name} is not reachable (${leg.session.lostReason})`).join('; ')}`,
      );
      return;
    }
    const first = present[0] as Leg;
    const odd = present.find((leg) => !sameGeometry(leg, first));
    if (odd !== undefined) {
      this.#wait(`an operator: ${odd.describe()} and ${first.describe()} differ in size or chunk size`);
      return;
    }
    const versions = present.map((leg) => (leg.probe as ProbeResult).version).filter((version) => version !== null);
    const needed = versions.length === 0 ? this.#bornWith(present) : this.#inSyncLegs(present, versions);
    if (needed === null) return;
    this.#claim(needed, present);
  }

  /** A pool that is being born: all stores are there, new, and proven to read as zeroes. */
  #bornWith(present: readonly Leg[]): readonly Leg[] | null {
    const missing = this.#legs.filter((leg) => leg.probe === null);
    if (missing.length > 0) {
      this.#wait(
        `${missing.map((leg) => leg.problem || `${leg.describe()}: ${leg.session.lostReason}`).join('; ')} (every member is needed to create the pool)`,
      );
      return null;
    }
    const unclean = present.find((leg) => !(leg.probe as ProbeResult).identity.createdZeroed);
    if (unclean !== undefined) {
      this.#wait(`an operator: the store of ${unclean.describe()} was not proven to read as zeroes; create it anew`);
      return null;
    }
    return present;
  }

  #inSyncLegs(present: readonly Leg[], versions: readonly VersionRecord[]): readonly Leg[] | null {
    const highest = highestVersion(versions);
    if (versions.some((version) => version.lineageUuid !== highest.lineageUuid)) {
      this.#wait('an operator: the members belong to different lineages of this pool');
      return null;
    }
    const needed: Leg[] = [];
    const missing: string[] = [];
    for (const member of highest.inSync) {
      const leg = this.#legs.find((candidate) => candidate.member.memberId === member.memberId);
      const store = leg?.probe?.identity.storeUuid;
      if (leg !== undefined && store === member.storeUuid) needed.push(leg);
      else if (leg === undefined) missing.push(`member ${member.memberId}, which this node's configuration lacks`);
      else if (store !== undefined) missing.push(`${leg.describe()} with its former store ${member.storeUuid} (it has ${store} now)`);
      else missing.push(leg.problem || `${leg.describe()}: ${leg.session.lostReason}`);
    }
    for (const leg of present) {
      if (needed.includes(leg)) continue;
      leg.problem = `out of the in-sync set since version ${formatVersion(highest)}: it misses writes, and resync is not available yet`;
      if (leg.state === 'CREATED' || leg.state === 'RECONNECTING') leg.setState('FAILED', leg.problem);
    }
    if (missing.length > 0) {
      this.#wait(`${missing.join('; ')} (in-sync set of version ${formatVersion(highest)})`);
      return null;
    }
    return needed;
  }

  #claim(needed: readonly Leg[], present: readonly Leg[]): void {
    const attempt = this.#attempt;
    const epoch = this.#highestEpochSeen + 1;
    this.#highestEpochSeen = epoch;
    this.#participants = needed;
    const newborn = present.every((leg) => (leg.probe as ProbeResult).version === null);
    for (const leg of needed) {
      if (leg.state === 'FAILED' || (leg.state === 'CREATED' && !newborn)) leg.setState('RECONNECTING', `epoch ${epoch} is being claimed`);
    }
    const grants = new Map<Leg, ClaimResult>();
    for (const leg of needed) {
      leg.call(
        {
          op: 'claim',
          poolUuid: this.#options.poolUuid,
          epoch,
          clientInstance: this.#options.clientInstance,
          clientName: this.#options.clientName,
        },
        claimResultSchema,
        (result, failure) => {
          if (attempt !== this.#attempt) return;
          if (result === null) {
            const promised = failure?.failure?.promise?.epoch ?? 0;
            this.#highestEpochSeen = Math.max(this.#highestEpochSeen, promised);
            this.#wait(failure?.message ?? `${leg.describe()} to grant epoch ${epoch}`);
            return;
          }
          grants.set(leg, result);
          if (grants.size === needed.length) this.#granted(epoch, needed, grants);
        },
      );
    }
  }

  /** C2: from here on only what the grants say counts. */
  #granted(epoch: number, needed: readonly Leg[], grants: ReadonlyMap<Leg, ClaimResult>): void {
    const results = needed.map((leg) => grants.get(leg) as ClaimResult);
    const versions = results.map((result) => result.version).filter((version) => version !== null);
    const highest = versions.length === 0 ? null : highestVersion(versions);
    if (highest !== null) {
      const complete = highest.inSync.every((member) => needed.some((leg) => isLegOf(leg, member)));
      if (!complete || !needed.every((leg) => isInSync(highest, leg.member.memberId, storeOf(leg)))) {
        this.#wait(`the in-sync set of version ${formatVersion(highest)}, which was recorded while the pool was being claimed`);
        return;
      }
    }
    // Survivors before those that lost what they had not flushed.
    const winner = needed[
      Math.max(
        0,
        results.findIndex((result) => !result.volatileLost),
      )
    ] as Leg;
    const suspects: ByteRange[] = [];
    for (const result of results) {
      suspects.push(...result.lastIo);
      if (result.volatileLost) suspects.push(...result.intent);
    }
    const others = needed.filter((leg) => leg !== winner);
    const allVolatileLost = results.every((result) => result.volatileLost);
    this.#reconciler = new Reconciler(winner, others, epoch, suspects, (failure) => {
      this.#reconciler = null;
      if (failure !== null) {
        this.#wait(`reconciliation to succeed: ${failure}`);
        return;
      }
      this.#recordFirst(epoch, needed, highest, memberTable(this.#legs, needed, results), allVolatileLost);
    });
    this.#reconciler.start();
  }

  #recordFirst(
    epoch: number,
    legs: readonly Leg[],
    previous: VersionRecord | null,
    members: readonly MemberRecord[],
    allVolatileLost: boolean,
  ): void {
    const attempt = this.#attempt;
    const version: VersionRecord = {
      lineageUuid: previous?.lineageUuid ?? randomUuid(this.#world.random),
      epoch,
      seq: 1,
      inSync: legs.map((leg) => ({ memberId: leg.member.memberId, storeUuid: storeOf(leg) })),
      horizon: 0,
    };
    assert(previous === null || compareVersions(version, previous) > 0, 'V1: a version does not rise');
    const { poolUuid } = this.#options;
    let recorded = 0;
    let enabled = 0;
    for (const leg of legs) {
      leg.call(
        {
          op: 'record-version',
          poolUuid,
          epoch,
          version: { ...version, inSync: [...version.inSync] },
          members: members.map((member) => ({ ...member, addresses: [...member.addresses] })),
          mapAdds: [],
          reconciled: true,
        },
        emptyResultSchema,
        (result, failure) => {
          if (attempt !== this.#attempt) return;
          if (result === null) {
            this.#wait(failure?.message ?? `${leg.describe()} to record version ${formatVersion(version)}`);
            return;
          }
          if (++recorded === legs.length) enableAll();
        },
      );
    }
    const enableAll = (): void => {
      for (const leg of legs) {
        leg.call({ op: 'enable', poolUuid, epoch, versionSeq: version.seq }, emptyResultSchema, (result, failure) => {
          if (attempt !== this.#attempt) return;
          if (result === null) {
            this.#wait(failure?.message ?? `${leg.describe()} to be enabled`);
            return;
          }
          if (++enabled < legs.length) return;
          this.#servedEpoch = epoch;
          this.end();
          this.#options.onAssembled({ version, members, legs, geometry: geometryOf(legs), allVolatileLost });
        });
      }
    };
  }
}

function storeOf(leg: Leg): string {
  assert(leg.probe !== null, 'recovery: a participant has not answered');
  return leg.probe.identity.storeUuid;
}

function isLegOf(leg: Leg, member: InSyncMember): boolean {
  return sameMember(member, { memberId: leg.member.memberId, storeUuid: storeOf(leg) });
}

function highestVersion(versions: readonly VersionRecord[]): VersionRecord {
  return versions.reduce((highest, version) => (compareVersions(version, highest) > 0 ? version : highest));
}

function sameGeometry(a: Leg, b: Leg): boolean {
  const first = (a.probe as ProbeResult).identity;
  const second = (b.probe as ProbeResult).identity;
  return first.sizeBytes === second.sizeBytes && first.chunkSizeBytes === second.chunkSizeBytes;
}

function geometryOf(legs: readonly Leg[]): Assembled['geometry'] {
  const probes = legs.map((leg) => leg.probe as ProbeResult);
  const { sizeBytes, chunkSizeBytes } = (probes[0] as ProbeResult).identity;
  return {
    sizeBytes,
    chunkSizeBytes,
    fastPunch: probes.every((probe) => probe.features.fastPunch),
    fastZero: probes.every((probe) => probe.features.fastZero),
  };
}

/** The member table: addresses from the configuration, stores from those present, the absent as the members remember them. */
function memberTable(all: readonly Leg[], present: readonly Leg[], results: readonly ClaimResult[]): MemberRecord[] {
  const table = new Map<number, MemberRecord>();
  for (const result of results) for (const member of result.members) table.set(member.memberId, member);
  for (const leg of all) {
    const { memberId, name, addresses } = leg.member;
    const storeUuid = present.includes(leg) ? storeOf(leg) : (table.get(memberId)?.storeUuid ?? leg.probe?.identity.storeUuid);
    if (storeUuid !== undefined) table.set(memberId, { memberId, storeUuid, name, addresses });
  }
  return [...table.values()].sort((a, b) => a.memberId - b.memberId);
}
