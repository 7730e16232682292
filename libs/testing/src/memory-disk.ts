import {
  assert,
  type Disk,
  type DiskExtent,
  type DiskFeatures,
  type DiskSink,
  type DiskSpace,
  type Random,
  randomBelow,
  Status,
} from '@rmr/runtime';

/**
 * A {@link Disk} in memory, with what real ones do to their users: a volatile cache that loses, tears and reorders
 * what was not flushed, errors, hangs, a file system that is full. Sparse: a 64 TiB disk costs what is written.
 */
export class MemoryDisk implements Disk {
  readonly sizeBytes: number;
  readonly features: DiskFeatures;
  readonly #schedule: (request: DiskRequest, end: () => void) => void;
  readonly #capacityPages: number;
  #queue: Request[] = [];
  readonly #inFlight = new Set<Request>();
  readonly #held: Request[] = [];
  /** What reads see. */
  #current: Image;
  /** What is certain to survive a power loss. */
  #durable: Image;
  /** Changes that have ended but are not durable, in order; the first has the number `#changesDurable`. */
  #volatile: Change[] = [];
  #changesDurable = 0;
  #faults: { kind: DiskRequestKind; status: number; skip: number; times: number }[] = [];
  /** Numbers of the sectors that can't be read until they are written. They are the medium's: the next process finds them too. */
  #badSectors = new Set<number>();
  #wornSectors = new Set<number>();
  /** As {@link #wornSectors}, behind the cache: it takes what they don't. */
  #wornBehindCache = new Set<number>();
  /** Pages that have space without having content. */
  #reserved = new Set<number>();
  readonly #tearFailedWrites: Random | null;
  /** Nothing gets space any more, as if other files had taken the rest of the file system. What has space keeps it. */
  full = false;
  /** Asked for every request that ends. If it returns another status than 0, the request ends with that. For faults that {@link fail} can't express. */
  faultOf: ((request: DiskRequest) => number) | null = null;
  #hanging = false;
  #whenQuiet: (() => void) | null = null;
  #closed = false;
  /** Requests that have ended, by kind. */
  readonly ended: Record<DiskRequestKind, number> = {
    ...{ read: 0, write: 0, flush: 0, punch: 0, zero: 0, reserve: 0, allocate: 0 },
  };

  constructor(options: MemoryDiskOptions, image: { current: Image; durable: Image } | null = null) {
    this.sizeBytes = options.sizeBytes;
    this.features = {
      ...{ fastPunch: true, fastZero: true, holeBytes: PAGE_BYTES, extents: true, survivesProcessCrash: true },
      ...options.features,
    };
    this.#schedule = options.schedule ?? ((_request, end) => end());
    this.#capacityPages = (options.capacityBytes ?? Number.POSITIVE_INFINITY) / PAGE_BYTES;
    this.#tearFailedWrites = options.tearFailedWrites ?? null;
    this.#current = image?.current ?? new Image();
    this.#durable = image?.durable ?? new Image();
  }

  /** Bytes that have been written and not discarded. */
  get allocatedBytes(): number {
    return this.#current.pages.size * PAGE_BYTES;
  }

  /** Changes that a power loss may take. */
  get volatileCount(): number {
    return this.#volatile.length;
  }

  /** Calls `visit` for every change that a power loss may take. */
  forEachVolatile(visit: (offsetBytes: number, lengthBytes: number) => void): void {
    for (const { offsetBytes, lengthBytes } of this.#volatile) visit(offsetBytes, lengthBytes);
  }

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    this.#enqueue('read', offsetBytes, target.length, target, tag, sink);
  }

  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink, through = false): void {
    this.#enqueue('write', offsetBytes, source.length, source, tag, sink, through);
  }

  flush(tag: number, sink: DiskSink): void {
    this.#enqueue('flush', 0, 0, null, tag, sink);
  }

  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#enqueue('punch', offsetBytes, lengthBytes, null, tag, sink, through);
  }

  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#enqueue('zero', offsetBytes, lengthBytes, null, tag, sink, through);
  }

  get space(): DiskSpace {
    const pages = this.sizeBytes / PAGE_BYTES;
    const used = this.#usedPages;
    const capacity = Math.min(pages, this.#capacityPages);
    const free = this.full ? 0 : Math.max(0, capacity - used);
    return { freeBytes: free * PAGE_BYTES, totalBytes: capacity * PAGE_BYTES, wantedBytes: Math.max(0, pages - used) * PAGE_BYTES };
  }

  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): boolean {
    assert(!this.#closed, 'memory disk: not used after close');
    if (!this.#isLimited) return true;
    const decided = this.#findsSpace(offsetBytes, lengthBytes) ? Status.OK : Status.ENOSPC;
    if (decided === Status.OK) this.#keepSpace(offsetBytes, lengthBytes);
    const request = { kind: 'reserve' as const, offsetBytes, lengthBytes, bytes: null, tag, sink, through: false };
    this.#queue.push({ ...request, changesBefore: 0, decided, ended: false });
    return false;
  }

  allocate(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#enqueue('allocate', offsetBytes, lengthBytes, null, tag, sink);
  }

  submit(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const request of queue) {
      this.#inFlight.add(request);
      if (this.#hanging) this.#held.push(request);
      else this.#schedule(request, () => this.#end(request));
    }
  }

  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes + lengthBytes > this.sizeBytes) {
      done(Status.EINVAL, []);
      return;
    }
    const extents: { lengthBytes: number; hole: boolean }[] = [];
    for (let at = offsetBytes; at < offsetBytes + lengthBytes; ) {
      const index = Math.floor(at / PAGE_BYTES);
      const end = Math.min((index + 1) * PAGE_BYTES, offsetBytes + lengthBytes);
      const hole = this.features.extents && !this.#current.pages.has(index);
      const last = extents.at(-1);
      if (last !== undefined && last.hole === hole) last.lengthBytes += end - at;
      else extents.push({ lengthBytes: end - at, hole });
      at = end;
    }
    done(Status.OK, extents);
  }

  close(done: (status: number) => void): void {
    assert(!this.#closed, 'memory disk: closed once');
    this.submit();
    this.#closed = true;
    const finish = (): void => done(Status.OK);
    if (this.#inFlight.size === 0) finish();
    else this.#whenQuiet = finish;
  }

  /** The next `times` requests of a kind, after `skip` of them, end with `status`. A failed flush forgets what it should have made durable. */
  fail(kind: DiskRequestKind, status: number, times = 1, skip = 0): void {
    this.#faults.push({ kind, status, skip, times });
  }

  /** Faults of {@link fail} that have not struck yet. */
  get faultsDue(): number {
    return this.#faults.length;
  }

  /** How many requests of a kind {@link fail} has yet to end. */
  failuresDue(kind: DiskRequestKind): number {
    return this.#faults.reduce((due, fault) => (fault.kind === kind ? due + fault.times : due), 0);
  }

  /** The faults of {@link fail} that have not struck yet never will. */
  clearFaults(): void {
    this.#faults = [];
  }

  /** The sectors that the range touches go bad: reads of them end with EIO until they are written, each for itself. */
  breakRange(offsetBytes: number, lengthBytes: number): void {
    for (let sector = sectorOf(offsetBytes); sector * SECTOR_BYTES < offsetBytes + lengthBytes; sector++) this.#badSectors.add(sector);
  }

  /** Whether a read of the range would end with EIO for a bad sector. */
  isBroken(offsetBytes: number, lengthBytes: number): boolean {
    if (this.#badSectors.size === 0) return false;
    for (let sector = sectorOf(offsetBytes); sector * SECTOR_BYTES < offsetBytes + lengthBytes; sector++) {
      if (this.#badSectors.has(sector)) return true;
    }
    return false;
  }

  /** The sectors that the range touches take no change any more: a request that would change them ends with EIO. They can be read. */
  wearOut(offsetBytes: number, lengthBytes: number): void {
    for (let sector = sectorOf(offsetBytes); sector * SECTOR_BYTES < offsetBytes + lengthBytes; sector++) this.#wornSectors.add(sector);
  }

  /**
   * The same behind the cache: it takes what is written there. A flush then ends with EIO, and the sectors still hold what they held before.
   * What goes past the cache fails by itself. Holes need no sectors.
   */
  wearOutBehindCache(offsetBytes: number, lengthBytes: number): void {
    for (let sector = sectorOf(offsetBytes); sector * SECTOR_BYTES < offsetBytes + lengthBytes; sector++) this.#wornBehindCache.add(sector);
  }

  /** Whether a flush would fail now, for sectors that are worn out behind the cache. */
  get losesAtFlush(): boolean {
    return this.#wornBehindCache.size > 0 && this.#volatile.some((change) => this.#isWornBehindCache(change));
  }

  /** Bad sectors can be read again, with what they held, except at offsets that stay broken. All sectors take writes again. */
  repair(staysBroken: (offsetBytes: number) => boolean = () => false): void {
    this.#wornSectors.clear();
    this.#wornBehindCache.clear();
    for (const sector of this.#badSectors) if (!staysBroken(sector * SECTOR_BYTES)) this.#badSectors.delete(sector);
  }

  /** Requests submitted from now on are held. */
  hang(): void {
    this.#hanging = true;
  }

  /** Requests that were held go on. */
  resume(): void {
    this.#hanging = false;
    for (const request of this.#held.splice(0)) this.#schedule(request, () => this.#end(request));
  }

  /** The process that used the disk died: nothing that it asked for is answered; what had ended stays. */
  abandon(): void {
    this.#queue = [];
    this.#inFlight.clear();
    this.#held.length = 0;
    this.#whenQuiet = null;
    this.#closed = false;
  }

  /**
   * The process that used the disk is killed. The kernel carries out some of the requests that it had been given and had not answered,
   * whole or in part, in any order. Nothing is answered.
   */
  kill(random: Random): void {
    for (const request of this.#inFlight) {
      if (!changesData(request.kind)) continue;
      const fate = randomBelow(random, 3);
      if (fate === 0) continue;
      if (fate === 1 || request.kind !== 'write') this.#change(request);
      else this.#writePart(request, random);
    }
    this.abandon();
  }

  /**
   * The disk after a power loss at this moment: every sector of every change that is not durable, those in flight
   * included, has survived or not, each for itself. This disk is unchanged.
   */
  crashImage(random: Random, options: Partial<MemoryDiskOptions> = {}): MemoryDisk {
    const image = this.#durable.fork();
    const changes = [...this.#volatile];
    for (const request of this.#inFlight) {
      if (!changesData(request.kind)) continue;
      changes.push({
        offsetBytes: request.offsetBytes,
        lengthBytes: request.lengthBytes,
        bytes: request.kind === 'write' ? request.bytes : null,
      });
    }
    for (const change of changes) {
      const fate = randomBelow(random, 4);
      if (fate === 0) continue;
      if (fate === 1) image.apply(change);
      else tear(image, change, random);
    }
    this.#restoreWorn(image);
    const disk = new MemoryDisk(
      { sizeBytes: this.sizeBytes, features: this.features, ...options },
      { current: image, durable: image.fork() },
    );
    disk.#badSectors = new Set(this.#badSectors);
    disk.#wornSectors = new Set(this.#wornSectors);
    disk.#wornBehindCache = new Set(this.#wornBehindCache);
    disk.#reserved = new Set(this.#reserved);
    disk.full = this.full;
    return disk;
  }

  /** A copy with the same content and schedule, volatile and durable, and nothing in flight: what the next process finds. */
  copy(options: Partial<MemoryDiskOptions> = {}): MemoryDisk {
    const disk = new MemoryDisk(
      {
        sizeBytes: this.sizeBytes,
        features: this.features,
        schedule: this.#schedule,
        ...(this.#tearFailedWrites === null ? {} : { tearFailedWrites: this.#tearFailedWrites }),
        ...options,
      },
      { current: this.#current.fork(), durable: this.#durable.fork() },
    );
    disk.#badSectors = new Set(this.#badSectors);
    disk.#wornSectors = new Set(this.#wornSectors);
    disk.#wornBehindCache = new Set(this.#wornBehindCache);
    disk.#reserved = new Set(this.#reserved);
    disk.full = this.full;
    disk.#volatile = [...this.#volatile];
    disk.#changesDurable = this.#changesDurable;
    return disk;
  }

  /** Power is lost: the disk becomes what {@link crashImage} says, and nothing in flight is answered. */
  crash(random: Random): void {
    const after = this.crashImage(random);
    this.abandon();
    this.#current = after.#current;
    this.#durable = after.#durable;
    this.#changesDurable += this.#volatile.length;
    this.#volatile = [];
  }

  /** Changes bytes behind the user's back, durably: bit rot, or another program. */
  corrupt(offsetBytes: number, bytes: Uint8Array): void {
    const change = { offsetBytes, lengthBytes: bytes.length, bytes };
    this.#current.apply(change);
    this.#durable.apply(change);
  }

  /** The content as reads see it. */
  peek(offsetBytes: number, lengthBytes: number): Uint8Array {
    const target = new Uint8Array(lengthBytes);
    this.#current.read(offsetBytes, target);
    return target;
  }

  /** The content that is certain to survive a power loss. */
  peekDurable(offsetBytes: number, lengthBytes: number): Uint8Array {
    const target = new Uint8Array(lengthBytes);
    this.#durable.read(offsetBytes, target);
    return target;
  }

  #enqueue(
    kind: DiskRequestKind,
    offsetBytes: number,
    lengthBytes: number,
    bytes: Uint8Array | null,
    tag: number,
    sink: DiskSink,
    through = false,
  ): void {
    assert(!this.#closed, 'memory disk: not used after close');
    const changesBefore = this.#changesDurable + this.#volatile.length;
    this.#queue.push({ kind, offsetBytes, lengthBytes, bytes, tag, sink, through, changesBefore, decided: Status.OK, ended: false });
  }

  #end(request: Request): void {
    assert(!request.ended, 'memory disk: a request ends once');
    request.ended = true;
    // The process that asked for it is dead.
    if (!this.#inFlight.delete(request)) return;
    const status = this.#outcome(request);
    this.ended[request.kind]++;
    request.sink.onDiskDone(request.tag, status);
    if (this.#inFlight.size > 0 || this.#whenQuiet === null) return;
    const quiet = this.#whenQuiet;
    this.#whenQuiet = null;
    quiet();
  }

  #outcome(request: Request): number {
    const { kind, offsetBytes, lengthBytes } = request;
    if (offsetBytes < 0 || offsetBytes + lengthBytes > this.sizeBytes) return Status.EINVAL;
    const fault = this.faultOf?.(request) || this.#takeFault(kind) || this.#wornFault(request);
    if (fault !== Status.OK) {
      if (kind === 'flush') this.#forget(request.changesBefore);
      else if (kind === 'write' && fault !== Status.ENOSPC && this.#tearFailedWrites !== null)
        this.#writePart(request, this.#tearFailedWrites);
      return fault;
    }
    if (kind === 'reserve') return request.decided;
    if (kind === 'read') {
      assert(request.bytes !== null, 'memory disk: a read has a target');
      if (this.isBroken(offsetBytes, lengthBytes)) return Status.EIO;
      this.#current.read(offsetBytes, request.bytes);
      return Status.OK;
    }
    if (kind === 'flush') {
      const changes = this.#takeVolatile(request.changesBefore);
      const fails = this.#wornBehindCache.size > 0 && changes.some((change) => this.#isWornBehindCache(change));
      const image = fails ? this.#durable.fork() : this.#durable;
      for (const change of changes) image.apply(change);
      if (fails) this.#restoreWorn(image);
      this.#durable = image;
      return fails ? Status.EIO : Status.OK;
    }
    if (kind !== 'punch' && !this.#findsSpace(offsetBytes, lengthBytes)) return Status.ENOSPC;
    if (kind === 'allocate') this.#keepSpace(offsetBytes, lengthBytes);
    else this.#change(request);
    return Status.OK;
  }

  /** Whether a flush fails for the change. A hole needs no sector. */
  #isWornBehindCache({ offsetBytes, lengthBytes, bytes }: Pick<Change, 'offsetBytes' | 'lengthBytes' | 'bytes'>): boolean {
    return bytes !== null && touches(this.#wornBehindCache, offsetBytes, lengthBytes);
  }

  /** What was written to sectors that are worn out behind the cache has not got there. */
  #restoreWorn(image: Image): void {
    const bytes = new Uint8Array(SECTOR_BYTES);
    for (const sector of this.#wornBehindCache) {
      this.#durable.read(sector * SECTOR_BYTES, bytes);
      image.apply({ offsetBytes: sector * SECTOR_BYTES, lengthBytes: SECTOR_BYTES, bytes: bytes.slice() });
    }
  }

  #wornFault({ kind, offsetBytes, lengthBytes, bytes, through }: Request): number {
    if (through && this.#isWornBehindCache({ offsetBytes, lengthBytes, bytes })) return Status.EIO;
    if (this.#wornSectors.size === 0 || kind === 'read' || kind === 'flush') return Status.OK;
    return touches(this.#wornSectors, offsetBytes, lengthBytes) ? Status.EIO : Status.OK;
  }

  #change({ kind, offsetBytes, lengthBytes, bytes }: Request): void {
    if (kind === 'zero' && this.#isLimited) this.#keepSpace(offsetBytes, lengthBytes);
    else if (kind === 'punch') this.#giveSpaceBack(offsetBytes, lengthBytes);
    if (this.#badSectors.size > 0) this.#rewrite(offsetBytes, lengthBytes);
    const change = { offsetBytes, lengthBytes, bytes: kind === 'write' ? (bytes as Uint8Array).slice() : null };
    this.#current.apply(change);
    this.#volatile.push(change);
  }

  /** As after a failed fsync: the cache still shows what was written, but nothing will bring it to the medium. */
  #forget(changesBefore: number): void {
    this.#takeVolatile(changesBefore);
  }

  /** The volatile changes among the first `changesBefore` that ever ended; they are not volatile any more. */
  #takeVolatile(changesBefore: number): Change[] {
    const count = Math.max(0, Math.min(this.#volatile.length, changesBefore - this.#changesDurable));
    this.#changesDurable += count;
    return this.#volatile.splice(0, count);
  }

  /** Some sectors of a write that fails. */
  #writePart(request: Request, random: Random): void {
    const bytes = (request.bytes as Uint8Array).slice();
    const { offsetBytes } = request;
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, (sectorOf(offsetBytes + from) + 1) * SECTOR_BYTES - offsetBytes);
      // Past the cache nothing gets to sectors that are worn out behind it.
      const isLeft = request.through && this.#wornBehindCache.has(sectorOf(offsetBytes + from));
      if (randomBelow(random, 2) === 0 && !isLeft) {
        const part = { offsetBytes: offsetBytes + from, lengthBytes: to - from, bytes: bytes.subarray(from, to) };
        this.#current.apply(part);
        this.#volatile.push(part);
      }
      from = to;
    }
  }

  /** Bad sectors that are written as a whole are good again. */
  #rewrite(offsetBytes: number, lengthBytes: number): void {
    for (const sector of this.#badSectors) {
      const from = sector * SECTOR_BYTES;
      if (from >= offsetBytes && from + SECTOR_BYTES <= offsetBytes + lengthBytes) this.#badSectors.delete(sector);
    }
  }

  #takeFault(kind: DiskRequestKind): number {
    for (const fault of this.#faults) {
      if (fault.kind !== kind || fault.times === 0) continue;
      if (fault.skip > 0) {
        fault.skip--;
        continue;
      }
      if (--fault.times === 0) this.#faults = this.#faults.filter((other) => other !== fault);
      return fault.status;
    }
    return Status.OK;
  }

  get #isLimited(): boolean {
    return this.full || this.#capacityPages !== Number.POSITIVE_INFINITY;
  }

  get #usedPages(): number {
    let used = this.#current.pages.size;
    for (const index of this.#reserved) if (!this.#current.pages.has(index)) used++;
    return used;
  }

  /** Whether every page of the range has space, or finds some. */
  #findsSpace(offsetBytes: number, lengthBytes: number): boolean {
    if (!this.#isLimited) return true;
    let missing = 0;
    const last = Math.floor((offsetBytes + lengthBytes - 1) / PAGE_BYTES);
    for (let index = Math.floor(offsetBytes / PAGE_BYTES); index <= last; index++)
      if (!this.#current.pages.has(index) && !this.#reserved.has(index)) missing++;
    return missing === 0 || (!this.full && this.#usedPages + missing <= this.#capacityPages);
  }

  #keepSpace(offsetBytes: number, lengthBytes: number): void {
    const last = Math.floor((offsetBytes + lengthBytes - 1) / PAGE_BYTES);
    for (let index = Math.floor(offsetBytes / PAGE_BYTES); index <= last; index++) this.#reserved.add(index);
  }

  /** That of the pages that the range covers. */
  #giveSpaceBack(offsetBytes: number, lengthBytes: number): void {
    if (this.#reserved.size === 0) return;
    const [first, end] = [Math.ceil(offsetBytes / PAGE_BYTES), Math.floor((offsetBytes + lengthBytes) / PAGE_BYTES)];
    if (end - first > this.#reserved.size) {
      for (const index of this.#reserved) if (index >= first && index < end) this.#reserved.delete(index);
      return;
    }
    for (let index = first; index < end; index++) this.#reserved.delete(index);
  }
}

/** The block in which it has holes. */
export const PAGE_BYTES = 4096;
/** What the disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/** What a request does. */
export type DiskRequestKind = 'read' | 'write' | 'flush' | 'punch' | 'zero' | 'reserve' | 'allocate';

/** A request that has been submitted. */
export interface DiskRequest {
  readonly kind: DiskRequestKind;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** What a write writes; null: something else. */
  readonly bytes: Uint8Array | null;
  /** It goes past the cache. */
  readonly through: boolean;
}

export interface MemoryDiskOptions {
  readonly sizeBytes: number;
  /** Called for every submitted request; `end` lets it take effect and answers it, once. Default: at once. */
  readonly schedule?: (request: DiskRequest, end: () => void) => void;
  readonly features?: Partial<DiskFeatures>;
  /** Bytes that may be allocated; beyond them writes end with ENOSPC. Default: all. */
  readonly capacityBytes?: number;
  /** With it, some sectors of a write that fails are on the disk all the same. Default: nothing is. */
  readonly tearFailedWrites?: Random;
}

interface Request extends DiskRequest {
  readonly tag: number;
  readonly sink: DiskSink;
  /** For a flush: how many changes had ended when it was queued. */
  readonly changesBefore: number;
  /** For a reservation: how it ends. */
  readonly decided: number;
  ended: boolean;
}

interface Change {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** null = zeroes. */
  readonly bytes: Uint8Array | null;
}

/** Sparse content whose copies share pages until one of them changes. */
class Image {
  readonly pages = new Map<number, Uint8Array>();
  readonly #owned = new Set<number>();

  fork(): Image {
    const copy = new Image();
    for (const [index, page] of this.pages) copy.pages.set(index, page);
    this.#owned.clear();
    return copy;
  }

  read(offsetBytes: number, target: Uint8Array): void {
    for (let at = 0; at < target.length; ) {
      const index = Math.floor((offsetBytes + at) / PAGE_BYTES);
      const within = offsetBytes + at - index * PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - within, target.length - at);
      const page = this.pages.get(index);
      if (page === undefined) target.fill(0, at, at + length);
      else target.set(page.subarray(within, within + length), at);
      at += length;
    }
  }

  apply(change: Change, from = 0, to = change.lengthBytes): void {
    for (let at = from; at < to; ) {
      const position = change.offsetBytes + at;
      const index = Math.floor(position / PAGE_BYTES);
      const within = position - index * PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - within, to - at);
      if (change.bytes === null && length === PAGE_BYTES) {
        this.pages.delete(index);
        this.#owned.delete(index);
      } else if (change.bytes !== null) {
        this.#own(index).set(change.bytes.subarray(at, at + length), within);
      } else if (this.pages.has(index)) {
        this.#own(index).fill(0, within, within + length);
      }
      at += length;
    }
  }

  #own(index: number): Uint8Array {
    const page = this.pages.get(index);
    if (page !== undefined && this.#owned.has(index)) return page;
    const own = page === undefined ? new Uint8Array(PAGE_BYTES) : page.slice();
    this.pages.set(index, own);
    this.#owned.add(index);
    return own;
  }
}

/** Whether the range touches one of the sectors. */
function touches(sectors: ReadonlySet<number>, offsetBytes: number, lengthBytes: number): boolean {
  for (const sector of sectors)
    if ((sector + 1) * SECTOR_BYTES > offsetBytes && sector * SECTOR_BYTES < offsetBytes + lengthBytes) return true;
  return false;
}

function changesData(kind: DiskRequestKind): boolean {
  return kind === 'write' || kind === 'punch' || kind === 'zero';
}

function sectorOf(offsetBytes: number): number {
  return Math.floor(offsetBytes / SECTOR_BYTES);
}

/** Applies some of the sectors of a change. */
function tear(image: Image, change: Change, random: Random): void {
  const first = change.offsetBytes - (change.offsetBytes % SECTOR_BYTES);
  let bits = 0;
  let bitCount = 0;
  for (let sector = first; sector < change.offsetBytes + change.lengthBytes; sector += SECTOR_BYTES) {
    if (bitCount === 0) {
      bits = random.u32();
      bitCount = 32;
    }
    const survives = (bits & 1) === 1;
    bits >>>= 1;
    bitCount--;
    if (!survives) continue;
    const from = Math.max(0, sector - change.offsetBytes);
    const to = Math.min(change.lengthBytes, sector + SECTOR_BYTES - change.offsetBytes);
    image.apply(change, from, to);
  }
}
