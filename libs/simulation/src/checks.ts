import { compareVersions, formatVersion, type PromiseRecord, sameVersion, type VersionRecord } from '@rmr/rmr';
import { type DiskRequest, PAGE_BYTES } from '@rmr/testing';
import type { SimulatedCluster } from './cluster.ts';
import { ProgressChecks } from './progress-checks.ts';
import { SECTOR_BYTES, type SectorModel } from './sector-model.ts';
import { isAt, type SimulatedStorageNode } from './simulated-nodes.ts';
import { CONCURRENCY_MAX, type Operation, type Workload } from './workload.ts';

/**
 * The invariants, by name, as they can be seen from outside: in the stores, on the disks, in what the client says. What
 * reads return is the sector model's matter (I1, I2, I4, I10). A violation is thrown, and ends the run.
 */
export class Checks {
  readonly #cluster: SimulatedCluster;
  readonly #workload: Workload;
  readonly #model: SectorModel;
  readonly #progress: ProgressChecks;
  readonly #seen = new Map<SimulatedStorageNode, SeenMaps>();
  /** Changes of data that a disk has been given: the store of the process, and since when its pool was NORMAL. */
  readonly #begun = new WeakMap<DiskRequest, { readonly store: object; readonly normalSinceMs: number }>();
  /** The promise of every store, when it was last looked at. */
  readonly #promises = new Map<SimulatedStorageNode, { readonly storeUuid: string; readonly promise: PromiseRecord }>();
  /** How old each store was when data was written there last. */
  readonly #writtenAt = new Map<SimulatedStorageNode, { readonly storeUuid: string; readonly age: number; readonly atMs: number }>();
  /** Since when nothing else has been missing, whenever it was asked for, in virtual milliseconds; null: something has. */
  #wholeSinceMs: number | null = null;
  /** What the client said about the members outside of the set, and under which version. */
  #missed: { readonly client: object; readonly version: VersionRecord; readonly bytes: ReadonlyMap<number, number> } | null = null;

  constructor(cluster: SimulatedCluster, workload: Workload, model: SectorModel) {
    this.#cluster = cluster;
    this.#workload = workload;
    this.#model = model;
    this.#progress = new ProgressChecks(cluster, workload);
  }

  /** Every tick: what every class says of itself, and what costs little. */
  tick(): void {
    this.#cluster.verify();
    this.#checkOneWriter();
    this.#checkPromises();
    this.#checkNumbers();
    this.#checkRolledBack();
    this.#checkClientMaps();
    this.#progress.tick();
    this.#checkBounds();
  }

  /** A few times a second: what compares bytes and maps. */
  sample(): void {
    const holders = this.#holders();
    if (holders === null) {
      this.#seen.clear();
      return;
    }
    for (const node of this.#cluster.nodes) this.#checkVolatileIsNamed(node, 0, this.#cluster.geometry.sizeBytes);
    this.#checkSourceRemains(holders);
    this.#checkMapDiscipline(holders);
    if (this.#cluster.settled) this.#checkCompleteMaps(holders);
    this.#checkSucceeded();
  }

  /**
   * I6: the write that is being acknowledged is on every member, or counted as missing there on every member that has it.
   * I1: a member that loses power now knows where it may lack the write.
   */
  acknowledged(operation: Operation): void {
    const version = operation.client.pool.status().version;
    if (version === null) return;
    const { geometry } = this.#cluster;
    const nodes = this.#cluster.members().filter((node) => !this.#cluster.tampered.has(node));
    const inSync = this.#untampered(version);
    const last = geometry.chunkOf(operation.firstSector + operation.sectorCount - 1);
    const { offsetBytes, lengthBytes } = operation.request;
    for (const node of inSync) this.#checkVolatileIsNamed(node, offsetBytes, lengthBytes);
    for (const absent of nodes) {
      if (inSync.includes(absent)) continue;
      for (const holder of inSync) {
        for (let chunk = geometry.chunkOf(operation.firstSector); chunk <= last; chunk++) {
          if (!holder.isDirty(absent.memberId, chunk))
            fail(
              'I6',
              `a write was acknowledged which ${absent.name} misses, and ${holder.name} does not have chunk ${chunk} dirty for it`,
            );
        }
      }
    }
  }

  /** W8: a write that was refused for lack of space has left the members equal, as far as they are in sync and clean there: none has any of it, or all have. */
  refused({ client, firstSector, sectorCount }: Operation): void {
    const status = client.pool.status();
    if (status.version === null || status.state !== 'SERVING') return;
    const { geometry } = this.#cluster;
    const serving = this.#untampered(status.version).filter(
      ({ memberId, store }) =>
        store?.volatileLost === false && status.legs.some((leg) => leg.memberId === memberId && leg.state === 'NORMAL'),
    );
    for (let sector = firstSector; sector < firstSector + sectorCount; sector++) {
      const clean = serving.filter((node) => !node.isDirty(node.memberId, geometry.chunkOf(sector)));
      const [first, ...others] = clean.map(({ name, disk, store }) => {
        const at = (store?.bitmapStore.dataOffset ?? 0) + geometry.offsetOf(sector);
        return { name, bytes: disk.peek(at, SECTOR_BYTES).join() };
      });
      const odd = others.find(({ bytes }) => bytes !== first?.bytes);
      if (odd !== undefined)
        fail('W8', `a write was refused for lack of space, and ${first?.name} and ${odd.name} differ in sector ${sector}`);
    }
  }

  /**
   * I1: checks what a flush or FUA write makes durable that is being acknowledged, as if all members lost power now. Every member that
   * is in sync and clean has the data. Where none is clean, another member that counts as clean has it (flush rule, ◆8).
   */
  durable(operation: Operation): void {
    const version = operation.client.pool.status().version;
    if (version === null) return;
    const { geometry } = this.#cluster;
    const inSync = this.#untampered(version);
    // What one of the set had was taken from its disk a moment ago.
    if (inSync.length < version.inSync.length) return;
    const others = this.#cluster.members().filter((node) => !inSync.includes(node) && !this.#cluster.tampered.has(node));
    const all = operation.sectorCount === 0;
    const first = all ? 0 : geometry.chunkOf(operation.firstSector);
    const last = all ? geometry.chunkCount : geometry.chunkOf(operation.firstSector + operation.sectorCount - 1);
    for (const chunk of geometry.hotChunks) {
      if (chunk < first || chunk > last) continue;
      const { firstSector, sectorCount } = geometry.sectorsOf(chunk);
      const from = all ? firstSector : Math.max(firstSector, operation.firstSector);
      const end = all ? firstSector + sectorCount : Math.min(firstSector + sectorCount, operation.firstSector + operation.sectorCount);
      const clean = inSync.filter((node) => !node.isDirty(node.memberId, chunk));
      for (const node of clean) {
        const wrong = this.#wrongAfterPowerLoss(node, from, end);
        if (wrong !== null) fail('I1', `a flush or FUA write was acknowledged, and after a power loss ${wrong}`);
      }
      // A lost chunk has no copy that a flush could speak of (I8).
      if (clean.length > 0 || this.#cluster.lost.has(chunk)) continue;
      const sources = others.filter((node) => inSync.every((holder) => !holder.isDirty(node.memberId, chunk)));
      const wrong = sources.map((node) => this.#wrongAfterPowerLoss(node, from, end));
      if (!wrong.includes(null))
        fail('I1', `a flush was acknowledged, chunk ${chunk} is dirty for all in sync, and after a power loss ${wrong.join(', ')}`);
    }
  }

  /** The nodes of the version's set, but for those whose stores are older ones now: what they had is not to be seen there. */
  #untampered({ inSync }: VersionRecord): readonly SimulatedStorageNode[] {
    const nodes = inSync.map(({ memberId }) => this.#cluster.node(memberId));
    return nodes.filter((node) => node !== undefined && !this.#cluster.tampered.has(node));
  }

  /** What the member would have in these sectors, of one chunk, after a power loss, and must not; null: nothing. */
  #wrongAfterPowerLoss({ name, disk, store, lastStore }: SimulatedStorageNode, from: number, end: number): string | null {
    const dataOffset = (store ?? lastStore)?.bitmapStore.dataOffset ?? 0;
    const data = disk.peekDurable(dataOffset + this.#cluster.geometry.offsetOf(from), (end - from) * SECTOR_BYTES);
    const words = new Float64Array(data.buffer);
    for (let sector = from; sector < end; sector++) {
      const stamp = words[((sector - from) * SECTOR_BYTES) / Float64Array.BYTES_PER_ELEMENT] as number;
      if (!this.#model.mayHoldAfterPowerLoss(sector, stamp))
        return `${name} would have ${stamp} in sector ${sector}, not ${this.#model.afterPowerLoss(sector).join(' or ')}`;
    }
    return null;
  }

  /**
   * I1: what a power loss of the member would take of this range is in its write intent, or dirty for it. Otherwise the member would
   * come back with older data, and nobody would know (W3, W7).
   */
  #checkVolatileIsNamed(node: SimulatedStorageNode, offsetBytes: number, lengthBytes: number): void {
    const { store, disk } = node;
    if (store === null || disk.volatileCount === 0) return;
    const { chunkSizeBytes } = this.#cluster.geometry;
    const intent = store.intentRanges();
    disk.forEachVolatile((diskOffset, changeBytes) => {
      const from = Math.max(diskOffset - store.bitmapStore.dataOffset, offsetBytes);
      const end = Math.min(diskOffset - store.bitmapStore.dataOffset + changeBytes, offsetBytes + lengthBytes);
      for (let chunk = Math.floor(from / chunkSizeBytes); chunk * chunkSizeBytes < end; chunk++) {
        const at = Math.max(from, chunk * chunkSizeBytes);
        const named = intent.some((range) => range.offsetBytes <= at && at < range.offsetBytes + range.lengthBytes);
        if (!named && !node.isDirty(node.memberId, chunk))
          fail('I1', `${node.name} could lose chunk ${chunk} with its power, which is neither in its write intent nor dirty for it`);
      }
    });
  }

  /** I4: a member that serves reads no chunk that is dirty for it. */
  diskRequest(node: SimulatedStorageNode, request: DiskRequest): void {
    const { store } = node;
    if (store !== null && isDataChange(node, request)) {
      this.#begun.set(request, { store, normalSinceMs: normalSinceMs(node) });
      // The workload writes no page of zeroes: it is a pull, or what rewrites a doubtful cache, that would fill a hole.
      if (request.kind === 'write' && hasZeroPage(request))
        fail('R1', `${node.name} writes zeroes at ${request.offsetBytes}, where a hole does`);
    }
    if (request.kind !== 'read' || store === null || poolState(node) !== 'NORMAL') return;
    const from = request.offsetBytes - store.bitmapStore.dataOffset;
    const { chunkSizeBytes, sizeBytes } = this.#cluster.geometry;
    if (from < 0 || from >= sizeBytes) return;
    for (let chunk = Math.floor(from / chunkSizeBytes); chunk * chunkSizeBytes < from + request.lengthBytes; chunk++) {
      if (node.isDirty(node.memberId, chunk)) fail('I4', `${node.name} reads chunk ${chunk}, which is dirty for it`);
    }
  }

  /** I7, I10: data that a disk was given before its pool was enabled anew is not written after: a grant waits for it (◆17). */
  diskEnd(node: SimulatedStorageNode, request: DiskRequest): void {
    const begun = this.#begun.get(request);
    const { store } = node;
    // What a process that is dead had asked for changes nothing any more.
    if (begun === undefined || store === null || begun.store !== store) return;
    this.#writtenAt.set(node, { storeUuid: store.identity.storeUuid, age: store.age, atMs: this.#cluster.world.scheduler.nowMs });
    if (poolState(node) !== 'NORMAL') return;
    if (normalSinceMs(node) !== begun.normalSinceMs)
      fail('I10', `${node.name} writes data at ${request.offsetBytes} that it was given before it was enabled anew`);
  }

  /** Null when the pool is served and whole; else what is missing. For when no fault is made any more (I11). */
  unfinished(): string | null {
    const missing = this.#missing();
    if (missing !== null) {
      this.#wholeSinceMs = null;
      return missing;
    }
    this.#wholeSinceMs ??= this.#cluster.world.scheduler.nowMs;
    return this.#unknownAge(this.#wholeSinceMs);
  }

  #missing(): string | null {
    const { client } = this.#cluster;
    const nodes = this.#cluster.members();
    const stranger = this.#cluster.nodes.find((node) => !nodes.includes(node));
    if (stranger !== undefined) return `${stranger.name} is no member`;
    if (client === null) return 'there is no client';
    if (this.#cluster.draining) return 'the client is being stopped';
    const status = client.pool.status();
    if (status.state !== 'SERVING') return `the client is ${status.state} and waits for ${status.waitingFor?.what ?? 'nothing'}`;
    if (status.versionChangePending) return 'a version change is pending';
    if (status.witness !== null && !status.witness.ready) return `the witness takes no part: ${status.witness.problem}`;
    for (const leg of status.legs) {
      // The configuration may name members that were removed since: their legs say so, and nothing can come of them.
      if (client.configured.has(leg.memberId) && !nodes.some((node) => node.memberId === leg.memberId)) continue;
      if (leg.state !== 'NORMAL' || !leg.inSync) return `the leg to ${leg.name} is ${leg.state}: ${leg.reason}`;
      if (leg.dirtyBytes !== 0) return `the client has ${leg.dirtyBytes} bytes dirty for ${leg.name}`;
    }
    for (const node of nodes) {
      if (poolState(node) !== 'NORMAL') return `${node.name} is ${poolState(node)}`;
      // W7: they would never leave, and a power loss would cost a resync of them for ever.
      if (node.store?.bitmapStore.intentAwaitsReconciliation === true) return `${node.name} holds regions in its write intent`;
      for (const { memberId } of nodes) {
        const dirtyBytes = node.store?.dirtyBytes(memberId) ?? 0;
        if (dirtyBytes > 0) return `${node.name} has ${dirtyBytes} bytes dirty for member ${memberId}`;
      }
      const removed = this.#cluster.removedIds().find((memberId) => node.store?.bitmapStore.dirtyMap(memberId) != null);
      if (removed !== undefined) return `${node.name} has a map of member ${removed}, which was removed`;
    }
    return status.lost === null ? null : `the client takes ${status.lost.bytes} bytes for lost`;
  }

  /** L8: all others know, durably and soon, that a store is older than any copy of it that lacks what was written there last; null: they do. */
  #unknownAge(wholeSinceMs: number): string | null {
    const { witness, world } = this.#cluster;
    const nodes = this.#cluster.members();
    for (const [node, { storeUuid, age, atMs }] of this.#writtenAt) {
      if (!nodes.includes(node) || node.storeUuid !== storeUuid) continue;
      for (const other of witness === null ? nodes : [...nodes, witness]) {
        // A witness that was held elsewhere records the next version; until then its table may lack the member.
        if (other === witness && !this.#cluster.holdsHighest(other)) continue;
        const seen = other.store?.members.find((member) => member.storeUuid === storeUuid)?.seen;
        if (other === node || (seen !== undefined && seen.age > age)) continue;
        const what = `${other.name} does not know how old the store of ${node.name} is`;
        if (world.scheduler.nowMs - Math.max(atMs, wholeSinceMs) > AGE_KNOWN_MS) fail('L8', what);
        return what;
      }
    }
    return null;
  }

  /** I8: what is lost is named, once the client has answered everything: as far as its status has room for all ranges. */
  lostIsNamed(): void {
    const { client, geometry } = this.#cluster;
    const inSync = this.#cluster.inSync();
    // A write may have brought a chunk back in the very last moment.
    const chunks = [...this.#cluster.lost].filter((chunk) => inSync.every((node) => node.isDirty(node.memberId, chunk)));
    const lost = client?.pool.status().lost ?? { bytes: 0, ranges: [] };
    const lostBytes = chunks.reduce((sum, chunk) => sum + geometry.bytesOf(chunk), 0);
    if (lost.bytes < lostBytes) fail('I8', `${lostBytes} bytes are lost, and the client says ${lost.bytes}`);
    if (lost.ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0) < lost.bytes) return;
    for (const chunk of chunks) {
      const offsetBytes = chunk * geometry.chunkSizeBytes;
      if (!lost.ranges.some((range) => range.offsetBytes <= offsetBytes && offsetBytes < range.offsetBytes + range.lengthBytes))
        fail('I8', `chunk ${chunk} is lost, and the client does not name it`);
    }
  }

  /** How things stand, for the log of a run that failed. */
  describe(): void {
    const { world, all, client, geometry } = this.#cluster;
    for (const node of all) {
      const store = node.store ?? node.lastStore;
      const dirty: Record<string, string> = {};
      for (const member of store?.bitmapStore.mappedMemberIds() ?? []) {
        const map = store?.dirtyMap(member) ?? null;
        const chunks: number[] = [];
        for (let chunk = 0; chunk < geometry.chunkCount && chunks.length < CHUNKS_NAMED_MAX; chunk++)
          if (map?.test(chunk)) chunks.push(chunk);
        if (map !== null && map.dirtyCount > 0) dirty[member] = `${map.dirtyCount} chunks: ${chunks.join(' ')}`;
      }
      const version = store?.version ?? null;
      world.log.info('at the end, a node', {
        node: node.name,
        state: poolState(node),
        storeOpen: node.store !== null,
        version: version === null ? null : formatVersion(version),
        volatileLost: store?.volatileLost ?? null,
        dirty: JSON.stringify(dirty),
      });
    }
    if (client !== null) world.log.info('at the end, the client', { status: JSON.stringify(client.pool.status()) });
  }

  /** I5: with nothing dirty and no IO under way, the members have the same bytes. */
  compareMembers(): void {
    const { sizeBytes } = this.#cluster.geometry;
    const [first, ...others] = this.#cluster.members();
    if (first === undefined) return;
    const expected = first.disk.peek(first.store?.bitmapStore.dataOffset ?? 0, sizeBytes);
    for (const other of others) {
      const data = other.disk.peek(other.store?.bitmapStore.dataOffset ?? 0, sizeBytes);
      const at = firstDifference(expected, data);
      if (at >= 0) fail('I5', `${first.name} and ${other.name} differ at byte ${at}`);
    }
  }

  /** I1: after a flush that was acknowledged, every member has durably what it covers. */
  compareDurable(): void {
    const { geometry } = this.#cluster;
    for (const { name, disk, store } of this.#cluster.members()) {
      for (let sector = 0; sector < geometry.hotSectorCount; sector++) {
        const data = disk.peekDurable((store?.bitmapStore.dataOffset ?? 0) + geometry.offsetOf(sector), SECTOR_BYTES);
        const [stamp = 0] = new Float64Array(data.buffer, 0, 1);
        if (this.#model.mayHoldAfterPowerLoss(sector, stamp)) continue;
        const allowed = this.#model.afterPowerLoss(sector).join(' or ');
        fail('I1', `a flush was acknowledged, and ${name} would have ${stamp} in sector ${sector} after a power loss, not ${allowed}`);
      }
    }
  }

  #checkOneWriter(): void {
    if (this.#cluster.servedByTwo) fail('I7', 'a client that lost the pool to another has not noticed');
  }

  /** C2: what a store has promised rises, and one epoch is nobody else's. */
  #checkPromises(): void {
    for (const node of this.#cluster.all) {
      const { name, store } = node;
      const promise = store?.promise ?? null;
      if (store === null || promise === null) continue;
      const { storeUuid } = store.identity;
      const known = this.#promises.get(node);
      this.#promises.set(node, { storeUuid, promise });
      const before = known?.storeUuid === storeUuid ? known.promise : undefined;
      if (before === undefined || before === promise || promise.epoch > before.epoch) continue;
      if (promise.epoch === before.epoch && promise.clientInstance === before.clientInstance) continue;
      fail('C2', `${name} had promised epoch ${before.epoch} to ${before.clientName}, and now ${promise.epoch} to ${promise.clientName}`);
    }
  }

  /** Another store is in the place of the one that the node had: what it had promised it does not know. */
  storeChanged(node: SimulatedStorageNode): void {
    this.#promises.delete(node);
  }

  /** L8: of no store it is said that it went back in time when it did not. */
  #checkRolledBack(): void {
    const { client, nodes, tampered } = this.#cluster;
    for (const { memberId, addresses, storeUuid, rolledBack } of client?.pool.status().legs ?? []) {
      // What answers elsewhere is a clone of it. Another store in its place is one that the client has not heard of yet.
      const node = nodes.find((each) => each.memberId === memberId && each.storeUuid === storeUuid && isAt(each, { addresses }));
      if (rolledBack !== null && node !== undefined && !tampered.has(node)) fail('L8', `${rolledBack}, and it is what it was`);
    }
  }

  /** V1: a number stands for one set. */
  #checkNumbers(): void {
    const { all } = this.#cluster;
    for (const [index, { name, version }] of all.entries()) {
      if (version === null) continue;
      for (const other of all.slice(index + 1)) {
        const { version: theirs } = other;
        if (theirs === null || theirs.lineageUuid !== version.lineageUuid || compareVersions(version, theirs) !== 0) continue;
        if (!sameVersion(version, theirs))
          fail('V1', `${name} has version ${formatVersion(version)}, and ${other.name} has ${formatVersion(theirs)}`);
      }
    }
  }

  /**
   * I9: while a version lasts, what the client counts as missing on a member outside of its set only grows. What the return of one
   * member marks for another (I2) counts with the version that ends this return, and is gone if the return is broken off.
   */
  #checkClientMaps(): void {
    const { client } = this.#cluster;
    const status = client?.pool.status() ?? null;
    const before = this.#missed;
    this.#missed = null;
    if (client === null || status === null || status.version === null || status.state !== 'SERVING') return;
    if (status.versionChangePending) return;
    const { version } = status;
    const bytes = new Map<number, number>();
    for (const { memberId, inSync, dirtyBytes } of status.legs) if (!inSync && dirtyBytes !== null) bytes.set(memberId, dirtyBytes);
    this.#missed = { client, version, bytes };
    if (before === null || before.client !== client || !sameVersion(before.version, version)) return;
    for (const [memberId, was] of before.bytes) {
      const is = bytes.get(memberId);
      if (is !== undefined && is < was)
        fail('I9', `the client had ${was} bytes dirty for member ${memberId}, which is out of the set, and now has ${is}`);
    }
  }

  #checkBounds(): void {
    const { client, geometry, network, all: nodes, world } = this.#cluster;
    if (client !== null) {
      const { executing, waiting } = client.pool.status();
      if (executing > geometry.queueDepth) fail('I12', `${executing} requests are in flight, with ${geometry.queueDepth} units`);
      // One more for the flush of an orderly stop.
      if (executing + waiting > CONCURRENCY_MAX + 1) fail('I12', `the client has ${executing + waiting} requests, more than it was given`);
    }
    for (const node of nodes) {
      const executing = node.rmr?.pools()[0]?.executing ?? 0;
      if (executing > EXECUTING_MAX) fail('I12', `${node.name} executes ${executing} requests`);
    }
    if (network.openEnds > CONNECTION_ENDS_MAX) fail('I12', `${network.openEnds} ends of connections are open`);
    if (network.queuedBytes > QUEUED_BYTES_MAX) fail('I12', `${network.queuedBytes} bytes wait to be sent`);
    if (world.scheduler.pendingCount > EVENTS_MAX) fail('I12', `${world.scheduler.pendingCount} events wait for their time`);
  }

  /** The members of the highest version's set, if every one of them is up and holds it; else null: a change is under way. */
  #holders(): readonly SimulatedStorageNode[] | null {
    const version = this.#cluster.highestVersion();
    if (version === null) return null;
    const holders = this.#cluster.inSync();
    if (holders.some((node) => this.#cluster.tampered.has(node))) return null;
    const all = holders.every(({ store }) => store?.version != null && sameVersion(store.version, version));
    return all ? holders : null;
  }

  /**
   * I8: every chunk is clean for at least one member, as an assembly at this moment would see it. There a member of the set speaks for
   * itself, and all members of the set together speak for the others.
   */
  #checkSourceRemains(holders: readonly SimulatedStorageNode[]): void {
    const { geometry, lost } = this.#cluster;
    const present = this.#cluster.members().map((node) => node.memberId);
    // A member has nothing when its disk was taken away, but nobody knows that yet. The same holds for a disk that has just been put back
    // and that no storage node has opened yet.
    const unopened = [...this.#cluster.tampered].filter((node) => node.storeUuid === '').map((node) => node.memberId);
    const known = [...present, ...this.#cluster.membersGone(), ...unopened];
    // Cold chunks too: they are marked with their regions. Where a holder misses nothing, there is nothing to look for.
    if (holders.some((holder) => holder.dirtyCount(holder.memberId) === 0)) {
      lost.clear();
      return;
    }
    for (let chunk = 0; chunk < geometry.chunkCount; chunk++) {
      if (this.#cluster.isClean(chunk, holders, present)) lost.delete(chunk);
      else if (!lost.has(chunk) && !this.#cluster.isClean(chunk, holders, known)) fail('I8', `chunk ${chunk} is dirty for every member`);
    }
  }

  /** I9: while a version lasts, bits of members outside of its set are only set, and bits of those within only cleared. */
  #checkMapDiscipline(holders: readonly SimulatedStorageNode[]): void {
    const { geometry } = this.#cluster;
    const nodes = this.#cluster.members();
    for (const holder of holders) {
      const { store } = holder;
      const version = store?.version ?? null;
      if (store === null || version === null) continue;
      const dirty = new Map(nodes.map(({ memberId }) => [memberId, geometry.hotChunks.map((chunk) => holder.isDirty(memberId, chunk))]));
      const before = this.#seen.get(holder);
      this.#seen.set(holder, { store, version, dirty });
      if (before === undefined || before.store !== store || !sameVersion(before.version, version)) continue;
      for (const node of nodes) {
        const [was, is] = [before.dirty.get(node.memberId), dirty.get(node.memberId)];
        if (was === undefined || is === undefined) continue;
        const within = holders.includes(node);
        const chunk = geometry.hotChunks.find((_chunk, at) => was[at] !== within && is[at] === within);
        if (chunk === undefined) continue;
        fail(
          'I9',
          `${holder.name} has ${within ? 'set' : 'cleared'} chunk ${chunk} for ${node.name}, ${within ? 'a member' : 'no member'} of the set`,
        );
      }
    }
    for (const node of this.#seen.keys()) if (!holders.includes(node)) this.#seen.delete(node);
  }

  /**
   * V2, V4: every older version has a member in its set that knows of a newer version. So nobody can take the pool into service by the
   * older one. With quorum `majority`, the majority makes sure of that instead. It is enough that the policy of the pool says so, or that
   * of the members that hold the older version.
   */
  #checkSucceeded(): void {
    const { client, all } = this.#cluster;
    const status = client?.pool.status() ?? null;
    if (status === null || status.version === null || status.state !== 'SERVING' || status.policy.quorum !== 'none') return;
    const { version: current } = status;
    for (const { name, version, store, lastStore } of all) {
      // What was recorded while the majority counted needs one to be taken into service, whatever has become of the policy.
      if ((store ?? lastStore)?.policy.quorum === 'majority') continue;
      if (version === null || version.lineageUuid !== current.lineageUuid || compareVersions(version, current) >= 0) continue;
      const set = version.inSync.map((member) =>
        all.find((node) => node.memberId === member.memberId && node.storeUuid === member.storeUuid),
      );
      const knows = (node: SimulatedStorageNode | undefined): boolean =>
        node === undefined || this.#cluster.tampered.has(node) || (node.version !== null && compareVersions(node.version, version) > 0);
      if (!set.some(knows))
        fail('V4', `${name} has version ${formatVersion(version)}, and nobody in its set knows of ${formatVersion(current)}`);
    }
  }

  /** I3: what a member of the set is dirty for by its own map, all others of the set know, and the client too. */
  #checkMapsKnown(holders: readonly SimulatedStorageNode[]): void {
    const { client, geometry } = this.#cluster;
    const legs = client?.pool.status().legs ?? [];
    for (const member of holders) {
      const { memberId } = member;
      const known = legs.find((leg) => leg.memberId === memberId)?.dirtyBytes ?? null;
      const own = member.store?.dirtyBytes(memberId) ?? 0;
      if (known !== null && known < own) fail('I3', `${member.name} is dirty for ${own} bytes, and the client knows of ${known}`);
      if (own === 0) continue;
      for (const holder of holders) {
        const unknown = geometry.hotChunks.find((chunk) => member.isDirty(memberId, chunk) && !holder.isDirty(memberId, chunk));
        if (unknown !== undefined) fail('I3', `${member.name} is dirty for chunk ${unknown}, and ${holder.name} does not know`);
      }
    }
  }

  /** I3: what members of the set have clean by their own maps is the same on all of them, where no change is under way. */
  #checkCompleteMaps(holders: readonly SimulatedStorageNode[]): void {
    const { client, geometry } = this.#cluster;
    const version = client?.pool.status().version ?? null;
    const current = holders[0]?.store?.version ?? null;
    if (version === null || current === null || !sameVersion(version, current)) return;
    this.#checkMapsKnown(holders);
    const busy = this.#workload.busyChunks();
    for (const chunk of geometry.hotChunks) {
      if (busy.has(chunk)) continue;
      let first: SimulatedStorageNode | null = null;
      let expected: Uint8Array | null = null;
      for (const node of holders) {
        if (poolState(node) !== 'NORMAL' || node.isDirty(node.memberId, chunk)) continue;
        const data = node.disk.peek((node.store?.bitmapStore.dataOffset ?? 0) + chunk * geometry.chunkSizeBytes, geometry.bytesOf(chunk));
        if (first === null || expected === null) {
          first = node;
          expected = data;
          continue;
        }
        const at = firstDifference(expected, data);
        if (at >= 0) fail('I3', `${first.name} and ${node.name} have chunk ${chunk} clean, and differ at its byte ${at}`);
      }
    }
  }
}

/** Bytes that wait to be sent, on all connections together (I12). */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
/** Requests that a storage node executes: the permits of its sessions. */
const EXECUTING_MAX = 8 * (128 + 16);
/** Ends of connections, those that nobody is at included. */
const CONNECTION_ENDS_MAX = 2_000;
/** Events that wait for their time. */
const EVENTS_MAX = 50_000;

/** In which the others know that a store has become older, while a client serves all of them. */
const AGE_KNOWN_MS = 9_000;

/** Chunks that are named in a description. */
const CHUNKS_NAMED_MAX = 12;

/** What one store said about the hot chunks, under which version. */
interface SeenMaps {
  readonly store: object;
  readonly version: VersionRecord;
  /** By member, then by hot chunk. */
  readonly dirty: ReadonlyMap<number, readonly boolean[]>;
}

/** Whether the request changes the data area. */
function isDataChange({ store }: SimulatedStorageNode, { kind, offsetBytes }: DiskRequest): boolean {
  return store !== null && (kind === 'write' || kind === 'punch' || kind === 'zero') && offsetBytes >= store.bitmapStore.dataOffset;
}

/** When the pool of the node entered the state that it is in, by the node's wall clock as it was then. */
function normalSinceMs(node: SimulatedStorageNode): number {
  return node.rmr?.pools()[0]?.describe().sinceMs ?? 0;
}

function poolState(node: SimulatedStorageNode): string {
  return node.rmr?.pools()[0]?.state ?? 'down';
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const [left, right] = [asBuffer(a), asBuffer(b)];
  return left.equals(right) ? -1 : a.findIndex((byte, at) => byte !== b[at]);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function fail(invariant: string, what: string): never {
  throw new Error(`${invariant}: ${what}`);
}

/** Whether a write fills a whole page of the disk with zeroes. */
function hasZeroPage({ offsetBytes, lengthBytes, bytes }: DiskRequest): boolean {
  if (bytes === null) return false;
  for (let page = Math.ceil(offsetBytes / PAGE_BYTES) * PAGE_BYTES; page + PAGE_BYTES <= offsetBytes + lengthBytes; page += PAGE_BYTES) {
    const at = page - offsetBytes;
    if (bytes.subarray(at, at + PAGE_BYTES).every((byte) => byte === 0)) return true;
  }
  return false;
}
