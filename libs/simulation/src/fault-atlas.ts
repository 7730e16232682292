import { compareVersions, sameVersion, type VersionRecord } from '@rmr/rmr';
import type { SimulatedCluster } from './cluster.ts';
import { FailedReads } from './failed-reads.ts';
import { SECTOR_BYTES, type SectorModel } from './sector-model.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * Says which faults are allowed now. Power losses and crashes always are. A disk may lose data only if at least one member of the in-sync
 * set keeps a good copy of each chunk concerned.
 *
 * The atlas knows what can be seen from outside: versions and dirty maps of the stores. Every good copy of a chunk may have lost what was
 * not flushed, as when all members that had the chunk lost power. Then the atlas tells the model that this loss is allowed.
 */
export class FaultAtlas {
  readonly failedReads: FailedReads;
  readonly #cluster: SimulatedCluster;
  readonly #model: SectorModel;
  readonly #losses = new Map<SimulatedStorageNode, Loss>();
  /** Hot chunks without a copy that has certainly kept what was not flushed. */
  readonly #bare = new Set<number>();
  /** By hot chunk: a member that was seen to have kept everything, and can read it, under a version of this lineage. */
  readonly #keepers = new Map<number, { readonly member: SimulatedStorageNode; readonly lineageUuid: string }>();

  /** By hot chunk: the members of the set that had it clean, and could read it, when last seen. */
  readonly #readers = new Map<number, readonly SimulatedStorageNode[]>();
  /** The version that they were seen under. */
  #readersVersion: VersionRecord | null = null;
  /** The members of its set, and of those of attempts since that have not reached everybody. */
  readonly #readersSets = new Set<number>();
  #version: VersionRecord | null = null;

  constructor(cluster: SimulatedCluster, model: SectorModel) {
    this.#cluster = cluster;
    this.#model = model;
    this.failedReads = new FailedReads(cluster.geometry);
  }

  /** The disk of a member will fail a flush, and forget what it should have made durable. */
  flushWillFail(node: SimulatedStorageNode): void {
    this.#losses.set(node, { since: this.#cluster.highestVersion(), flushFaultDue: true });
    this.#weigh(false);
  }

  /** A flush of the member's disk is about to fail, for sectors that are worn out behind the cache: the member loses what a power loss would take. */
  flushFails(node: SimulatedStorageNode): void {
    this.powerLost([node]);
  }

  /** The store of a member is an older one from now on: it has lost more than what was not flushed. */
  wentBack(node: SimulatedStorageNode): void {
    this.#losses.set(node, { since: this.#cluster.highestVersion(), flushFaultDue: false });
    this.#weigh(false);
  }

  /** These hosts lost power. */
  powerLost(nodes: readonly SimulatedStorageNode[]): void {
    const since = this.#cluster.highestVersion();
    for (const node of nodes) this.#losses.set(node, { since, flushFaultDue: false });
    this.#weigh(true);
  }

  /**
   * Whether the member's disk may lose something now. Another member of the in-sync set has a good copy of the chunk (null: of every
   * chunk), and nothing is under way that could change that unseen.
   */
  mayLose(node: SimulatedStorageNode, chunk: number | null): boolean {
    this.observe();
    const inSync = this.#cluster.inSync();
    if (!this.#cluster.settled || !inSync.every((member) => member.store !== null)) return false;
    const chunks = chunk === null ? Array.from({ length: this.#cluster.geometry.chunkCount }, (_, each) => each) : [chunk];
    return chunks.every((each) => inSync.some((member) => member !== node && this.#isGood(member, each)));
  }

  /**
   * Notes at once what a new version has changed, as the pool may be served by it without the member that has kept everything. Notes also
   * that a member which had lost something counts as equal again, as that member may be gone a moment later.
   */
  observeVersion(): void {
    const version = this.#cluster.highestVersion();
    if (
      version !== this.#version ||
      version !== this.#readersVersion ||
      [...this.#losses].some(([node, loss]) => !loss.flushFaultDue && this.#isMadeUp(node, loss))
    )
      this.observe();
  }

  /** Notes what has changed. Called again and again. */
  observe(): void {
    this.#version = this.#cluster.highestVersion();
    this.failedReads.forgetHealed((node, chunk) => this.#canRead(node, chunk));
    this.#checkReaders(this.#version);
    // With a majority, a pool may come into service without the one member that has kept everything.
    this.#weigh(false);
    for (const [node, loss] of this.#losses) {
      if (loss.flushFaultDue) {
        if (node.disk.faultsDue > 0) continue;
        loss.flushFaultDue = false;
        loss.since = this.#cluster.highestVersion();
      }
      if (this.#isMadeUp(node, loss)) this.#losses.delete(node);
    }
    this.#weigh(false);
  }

  /** A version made since then has made the member equal to the others, or counts what it lost as dirty. */
  #isMadeUp(node: SimulatedStorageNode, { since }: Loss): boolean {
    const { store } = node;
    if (store === null || store.volatileLost || store.version === null || !this.#cluster.inSync().includes(node)) return false;
    return this.#isSince(store.version, since);
  }

  /** Whether the version was made after `since` was the highest. */
  #isSince(version: VersionRecord, since: VersionRecord | null): boolean {
    if (since === null) return true;
    if (version.lineageUuid === since.lineageUuid) return compareVersions(version, since) > 0;
    // The pool was forced into another lineage meanwhile: numbers of two lineages say nothing of their order.
    return version.lineageUuid === this.#cluster.highestVersion()?.lineageUuid;
  }

  /** Tells the model of chunks that have lost their last good copy. With `again` it names those that had none before, too. */
  #weigh(again: boolean): void {
    // What counts is not there, and will be.
    if (this.#cluster.keptAside !== null) return;
    const { geometry, world } = this.#cluster;
    const inSync = this.#cluster.inSync();
    // The version that the set belongs to. Power may be lost right after it was recorded, and before anybody has looked.
    const version = this.#cluster.highestVersion();
    if (inSync.length === 0 || version === null) return;
    for (const chunk of geometry.hotChunks) {
      // A member that has not recorded the version, such as a new one, does not know yet what it lacks.
      const keeper = inSync.find(
        (member) => this.#isGood(member, chunk) && member.version !== null && sameVersion(member.version, version),
      );
      const isKeptHere = keeper !== undefined || inSync.some((member) => this.#keeps(member, chunk));
      const away = isKeptHere ? undefined : this.#keeperAway(chunk, inSync, version);
      const now = keeper ?? away;
      const former = this.#keepers.get(chunk)?.member;
      // A member that can't read some of the chunk has not everything of it any more.
      if (now !== undefined && this.#canRead(now, chunk)) this.#keepers.set(chunk, { member: now, lineageUuid: version.lineageUuid });
      else if (away !== undefined || (former !== undefined && !this.#canRead(former, chunk))) this.#keepers.delete(chunk);
      if (isKeptHere || away !== undefined) {
        this.#bare.delete(chunk);
        continue;
      }
      if (this.#bare.has(chunk) && !again) continue;
      this.#checkKeeper(chunk, inSync, version);
      this.#bare.add(chunk);
      const { firstSector, sectorCount } = geometry.sectorsOf(chunk);
      this.#model.volatileLost(firstSector, sectorCount, world.scheduler.nowMs);
    }
  }

  /**
   * I1: data that one member alone has is not given up while that member stays in the set (reconciliation: members that kept their data
   * come first). It is no violation if another member has the data, too. That may be one that has lost something, but nothing of this
   * chunk, or one that is away. Nor is it one in a lineage that was forced since: what a member says of itself does not count where it has
   * not recorded the last version.
   */
  #checkKeeper(chunk: number, inSync: readonly SimulatedStorageNode[], version: VersionRecord): void {
    const { member: keeper, lineageUuid } = this.#keepers.get(chunk) ?? {};
    this.#keepers.delete(chunk);
    if (keeper === undefined || this.#losses.has(keeper) || !inSync.includes(keeper)) return;
    if (lineageUuid !== version.lineageUuid) return;
    const clean = inSync.filter((member) => !member.isDirty(member.memberId, chunk));
    if (clean.some((member) => this.#hasWhatMayBeRead(member, chunk))) return;
    if (this.#keeperAway(chunk, inSync, version) !== undefined) return;
    throw new Error(`I1: ${keeper.name} alone has kept everything of chunk ${chunk}, is in the set, and the chunk is dirty for it`);
  }

  /**
   * I1: where members are made equal after a crash, a member that can read a chunk is not made to pull it from a member that can't. What
   * had been flushed there would be gone.
   */
  #checkReaders(version: VersionRecord | null): void {
    if (version === null) return;
    const inSync = this.#cluster.inSync();
    const former = this.#readersVersion;
    // Maps come with the version. A member that has not recorded it does not know yet what it lacks.
    const informed = inSync.filter((member) => member.version !== null && sameVersion(member.version, version));
    // The first of its epoch: nobody has left or returned since.
    const isNew = former !== null && former.lineageUuid === version.lineageUuid && former.epoch < version.epoch && version.seq === 1;
    const ids = version.inSync.map((member) => member.memberId);
    if (isNew && informed.length < inSync.length) {
      for (const memberId of ids) this.#readersSets.add(memberId);
      return;
    }
    // A member that is left out may have been chosen before, by an attempt that has not reached every member.
    const isSmaller = [...this.#readersSets].some((memberId) => !ids.includes(memberId));
    this.#readersVersion = version;
    this.#readersSets.clear();
    for (const memberId of ids) this.#readersSets.add(memberId);
    for (const chunk of this.#cluster.geometry.hotChunks) {
      const readers = informed.filter((member) => this.#canRead(member, chunk));
      const good = readers.filter((member) => !member.isDirty(member.memberId, chunk));
      const was =
        good.length === 0 && isNew && !isSmaller ? this.#readers.get(chunk)?.find((member) => readers.includes(member)) : undefined;
      if (was !== undefined)
        throw new Error(`I1: chunk ${chunk} is left to members that can't read it; ${was.name} had it, and can read it`);
      if (isNew) this.#checkPassedOver(chunk, informed, good, version.epoch);
      this.#readers.set(chunk, good);
    }
  }

  /**
   * I8: a member may have said before an epoch that it can't read a chunk. Then it has to copy the chunk from a member that can.
   * Otherwise its unreadable copy would be the last one when the other member leaves.
   */
  #checkPassedOver(chunk: number, informed: readonly SimulatedStorageNode[], good: readonly SimulatedStorageNode[], epoch: number): void {
    const source = good.find((member) => !this.failedReads.mayHave(member, chunk));
    if (source === undefined) return;
    for (const member of informed) {
      if (member.isDirty(member.memberId, chunk) || !this.failedReads.metBefore(member, chunk, epoch)) continue;
      throw new Error(`I8: ${member.name} knew that it can't read chunk ${chunk}, and counts as clean beside ${source.name}, which can`);
    }
  }

  /**
   * A member that is away and has everything of the chunk, by the maps of the set and of the client. Reads of the chunk wait for that
   * member. Undefined: there is none.
   */
  #keeperAway(chunk: number, inSync: readonly SimulatedStorageNode[], version: VersionRecord): SimulatedStorageNode | undefined {
    // Maps come with the version. A member that has not recorded it does not know yet what each member lacks.
    const informed = inSync.filter((member) => member.version !== null && sameVersion(member.version, version));
    const hasMissedNothing = (member: SimulatedStorageNode): boolean =>
      member.version?.lineageUuid === version.lineageUuid &&
      informed.every((holder) => !holder.isDirty(member.memberId, chunk)) &&
      !this.#clientCountsMore(member, informed);
    const away = this.#cluster.members().filter((member) => !inSync.includes(member) && !this.#losses.has(member));
    return informed.length > 0 ? away.find(hasMissedNothing) : undefined;
  }

  /**
   * Whether the client counts more as missing on the member than these members do. The member may have pulled something, and left before
   * the client has heard of that. It has to pull it again when it returns, as what the client says goes into all maps (V2).
   */
  #clientCountsMore({ memberId }: SimulatedStorageNode, holders: readonly SimulatedStorageNode[]): boolean {
    const pool = this.#cluster.client?.pool;
    if (pool === undefined || pool.state !== 'SERVING') return false;
    const counted = pool.status().legs.find((leg) => leg.memberId === memberId)?.dirtyBytes ?? 0;
    return holders.some((holder) => counted > (holder.store?.dirtyBytes(memberId) ?? 0));
  }

  #hasWhatMayBeRead({ disk, store, lastStore }: SimulatedStorageNode, chunk: number): boolean {
    const { geometry, world } = this.#cluster;
    const dataOffset = (store ?? lastStore)?.bitmapStore.dataOffset ?? 0;
    const { firstSector, sectorCount } = geometry.sectorsOf(chunk);
    const words = new Float64Array(disk.peek(dataOffset + geometry.offsetOf(firstSector), sectorCount * SECTOR_BYTES).slice().buffer);
    for (let at = 0; at < sectorCount; at++) {
      const stamp = words[(at * SECTOR_BYTES) / Float64Array.BYTES_PER_ELEMENT] as number;
      if (!this.#model.mayRead(firstSector + at, stamp, world.scheduler.nowMs)) return false;
    }
    return true;
  }

  /** The member has everything of the chunk that was ever acknowledged. */
  #keeps(member: SimulatedStorageNode, chunk: number): boolean {
    return !this.#losses.has(member) && !member.isDirty(member.memberId, chunk);
  }

  /** As {@link #keeps}, and can read it. */
  #isGood(member: SimulatedStorageNode, chunk: number): boolean {
    return this.#keeps(member, chunk) && this.#canRead(member, chunk);
  }

  #canRead({ disk, lastStore }: SimulatedStorageNode, chunk: number): boolean {
    const { geometry } = this.#cluster;
    const offset = (lastStore?.bitmapStore.dataOffset ?? 0) + chunk * geometry.chunkSizeBytes;
    return !disk.isBroken(offset, geometry.bytesOf(chunk));
  }
}

/** A member that may have lost what it had not flushed. */
interface Loss {
  /** The highest version when it was last seen to have lost something: only a newer one can have counted that in. */
  since: VersionRecord | null;
  /** The disk has been told to fail a flush, and has not yet. */
  flushFaultDue: boolean;
}
