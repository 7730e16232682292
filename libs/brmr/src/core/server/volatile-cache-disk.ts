import {
  assert,
  type Disk,
  type DiskExtent,
  type DiskFeatures,
  DiskOperation,
  type DiskSink,
  type DiskSpace,
  MIB,
  Status,
} from '@rmr/runtime';
import { type CachedPage, CachedPages, forEachPage, PAGE_BYTES, PageKind } from './cached-pages.ts';

/**
 * A disk with a volatile write cache, around another disk: changes stay in the memory of this process until a flush
 * writes them down, oldest first, and flushes the disk underneath. So the death of the process is to its store what a
 * power loss is to others. For tests.
 *
 * When the cache is half full it writes its oldest pages down by itself, as drives do. Pages that can't be written
 * down are lost, as after a failed fsync, and the next flush says so. Closing writes everything down. What is written through stays in the cache, too.
 */
export class VolatileCacheDisk implements Disk {
  readonly sizeBytes: number;
  readonly features: DiskFeatures;
  readonly #inner: Disk;
  readonly #pagesMax: number;
  #queue: Request[] = [];
  /** Changes that wait for room. */
  #held: Request[] = [];
  readonly #cache = new CachedPages();
  /** Pages on their way down; newer changes of the same pages are in the cache. */
  #down: CachedPages | null = null;
  /** Requests to the disk underneath that have not ended, for the pages on their way down. */
  #downLeft = 0;
  /** Flushes that wait for their turn, and those that are under way. */
  #waiting: Request[] = [];
  #covered: Request[] = [];
  /** Why pages were lost that no flush has spoken of. */
  #owedStatus: number = Status.OK;
  #readsBelow = 0;
  #whenClosed: ((status: number) => void) | null = null;
  #closing = false;

  constructor(inner: Disk, options: VolatileCacheOptions = {}) {
    this.#inner = inner;
    this.#pagesMax = Math.floor((options.cacheBytesMax ?? VOLATILE_CACHE_BYTES_MAX) / PAGE_BYTES);
    assert(this.#pagesMax >= 4, 'volatile cache: it holds something');
    this.sizeBytes = inner.sizeBytes;
    this.features = { ...inner.features, survivesProcessCrash: false };
  }

  /** Bytes in pages that the death of this process would lose. */
  get volatileBytes(): number {
    return (this.#cache.count + (this.#down?.count ?? 0)) * PAGE_BYTES;
  }

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.READ, offsetBytes, target.length, target, tag, sink);
  }

  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.WRITE, offsetBytes, source.length, source, tag, sink);
  }

  flush(tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.FLUSH, 0, 0, null, tag, sink);
  }

  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.PUNCH, offsetBytes, lengthBytes, null, tag, sink);
  }

  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.ZERO, offsetBytes, lengthBytes, null, tag, sink);
  }

  get space(): DiskSpace | null {
    return this.#inner.space;
  }

  /** Asked of the disk underneath, which keeps it until what is here is written down. */
  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): boolean {
    assert(!this.#closing, 'volatile cache: not used after close');
    return this.#inner.reserve(offsetBytes, lengthBytes, tag, sink);
  }

  allocate(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#inner.allocate(offsetBytes, lengthBytes, tag, sink);
  }

  submit(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const request of queue) this.#start(request);
    this.#next();
    this.#inner.submit();
  }

  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    // What is written down meanwhile was here when the disk underneath was asked, so it is looked up first.
    const holes = new Map<number, boolean>();
    for (const pages of [this.#down, this.#cache]) {
      for (const [index, page] of pages?.entries() ?? []) holes.set(index, page.kind === PageKind.PUNCHED && this.features.extents);
    }
    this.#inner.extents(offsetBytes, lengthBytes, (status, extents) => {
      done(status, status === Status.OK && holes.size > 0 ? merged(offsetBytes, extents, holes) : extents);
    });
  }

  close(done: (status: number) => void): void {
    assert(!this.#closing, 'volatile cache: closed once');
    this.submit();
    this.#closing = true;
    this.#whenClosed = done;
    this.#next();
  }

  /** Rechecks the invariants. */
  verify(): void {
    assert(this.#down !== null || this.#downLeft === 0, 'volatile cache: what is written down is known');
    assert(
      this.#held.every(({ kind }) => kind !== DiskOperation.READ && kind !== DiskOperation.FLUSH),
      'volatile cache: only changes wait for room',
    );
    assert(this.#busy || this.#waiting.length === 0, 'volatile cache: a flush waits for another one only');
  }

  get #busy(): boolean {
    return this.#down !== null || this.#covered.length > 0;
  }

  get #full(): boolean {
    return this.#cache.count + (this.#down?.count ?? 0) >= this.#pagesMax;
  }

  #enqueue(kind: DiskOperation, offsetBytes: number, lengthBytes: number, bytes: Uint8Array | null, tag: number, sink: DiskSink): void {
    assert(!this.#closing, 'volatile cache: not used after close');
    this.#queue.push({ kind, offsetBytes, lengthBytes, bytes, tag, sink });
  }

  #start(request: Request): void {
    if (request.offsetBytes < 0 || request.offsetBytes + request.lengthBytes > this.sizeBytes) {
      request.sink.onDiskDone(request.tag, Status.EINVAL);
    } else if (request.kind === DiskOperation.READ) {
      this.#read(request);
    } else if (request.kind === DiskOperation.FLUSH) {
      this.#waiting.push(request);
    } else if (this.#held.length > 0 || this.#full) {
      this.#held.push(request);
    } else {
      this.#change(request);
    }
  }

  #change({ kind, offsetBytes, lengthBytes, bytes, tag, sink }: Request): void {
    if (kind === DiskOperation.WRITE) this.#cache.write(offsetBytes, bytes as Uint8Array);
    else this.#cache.clear(offsetBytes, lengthBytes, kind === DiskOperation.PUNCH ? PageKind.PUNCHED : PageKind.ZEROED);
    sink.onDiskDone(tag, Status.OK);
  }

  /** From memory as far as it is there. The pages are held on to: they may be written down and forgotten before the disk has answered with what it had before. */
  #read({ offsetBytes, lengthBytes, bytes, tag, sink }: Request): void {
    const target = bytes as Uint8Array;
    const older: (CachedPage | undefined)[] = [];
    const newer: (CachedPage | undefined)[] = [];
    let whole = true;
    forEachPage(offsetBytes, lengthBytes, (index) => {
      const below = this.#down?.at(index);
      const above = this.#cache.at(index);
      older.push(below);
      newer.push(above);
      if ((below === undefined || below.known !== null) && (above === undefined || above.known !== null)) whole = false;
    });
    const overlay = (): void => {
      let i = 0;
      forEachPage(offsetBytes, lengthBytes, (_index, from, to, done) => {
        copyKnown(older[i], from, to, target, done);
        copyKnown(newer[i++], from, to, target, done);
      });
    };
    if (whole) {
      overlay();
      sink.onDiskDone(tag, Status.OK);
      return;
    }
    this.#readsBelow++;
    this.#inner.read(offsetBytes, target, tag, {
      onDiskDone: (_tag, status) => {
        this.#readsBelow--;
        if (status === Status.OK) overlay();
        sink.onDiskDone(tag, status);
        this.#next();
      },
    });
  }

  /** Lets in what waited for room, and starts to write down what has to be. */
  #next(): void {
    while (this.#held.length > 0 && !this.#full) this.#change(this.#held.shift() as Request);
    if (this.#busy) return;
    if (this.#waiting.length > 0) {
      this.#covered = this.#waiting;
      this.#waiting = [];
      this.#writeDown(this.#cache.count);
    } else if (this.#cache.count * 2 > this.#pagesMax) {
      this.#writeDown(Math.ceil(this.#pagesMax / 4));
    } else if (this.#whenClosed !== null && this.#readsBelow === 0) {
      this.#finishClosing(this.#whenClosed);
    }
  }

  #finishClosing(done: (status: number) => void): void {
    assert(this.#held.length === 0, 'volatile cache: nothing is held without a cause');
    if (this.#cache.count > 0) {
      this.#writeDown(this.#cache.count);
      return;
    }
    this.#whenClosed = null;
    const owed = this.#owedStatus;
    this.#inner.close((status) => done(owed === Status.OK ? status : owed));
  }

  #writeDown(countMax: number): void {
    this.#down = this.#cache.takeOldest(countMax);
    // One more than there are requests: none of those that end at once is the last.
    this.#downLeft = 1;
    let clearedKind: PageKind = PageKind.DATA;
    let clearedFrom = 0;
    let clearedTo = 0;
    const clear = (): void => {
      if (clearedFrom === clearedTo) return;
      this.#downLeft++;
      const lengthBytes = (clearedTo - clearedFrom) * PAGE_BYTES;
      if (clearedKind === PageKind.PUNCHED) this.#inner.punch(clearedFrom * PAGE_BYTES, lengthBytes, 0, this.#onWritten);
      else this.#inner.zero(clearedFrom * PAGE_BYTES, lengthBytes, 0, this.#onWritten);
      clearedFrom = clearedTo;
    };
    for (const [index, page] of this.#down.entries()) {
      if (page.kind === PageKind.DATA) {
        page.forEachRun(0, PAGE_BYTES, (from, to) => {
          this.#downLeft++;
          this.#inner.write(index * PAGE_BYTES + from, page.bytes.subarray(from, to), 0, this.#onWritten);
        });
        continue;
      }
      if (page.kind !== clearedKind || index !== clearedTo) {
        clear();
        clearedKind = page.kind;
        clearedFrom = index;
      }
      clearedTo = index + 1;
    }
    clear();
    this.#inner.submit();
    this.#onWritten.onDiskDone(0, Status.OK);
  }

  readonly #onWritten: DiskSink = {
    onDiskDone: (_tag, status) => {
      if (status !== Status.OK) this.#owedStatus = status;
      if (--this.#downLeft > 0) return;
      this.#down = null;
      if (this.#covered.length === 0) {
        this.#next();
        this.#inner.submit();
      } else if (this.#owedStatus !== Status.OK) {
        this.#answerFlushes(this.#owedStatus);
      } else {
        this.#inner.flush(0, this.#onFlushed);
        this.#inner.submit();
      }
    },
  };

  readonly #onFlushed: DiskSink = { onDiskDone: (_tag, status) => this.#answerFlushes(status) };

  #answerFlushes(status: number): void {
    const covered = this.#covered;
    this.#covered = [];
    this.#owedStatus = Status.OK;
    for (const { tag, sink } of covered) sink.onDiskDone(tag, status);
    this.#next();
    this.#inner.submit();
  }
}

/** Bytes that the cache holds by default: as much as a drive has, and a bound on this process's memory. */
export const VOLATILE_CACHE_BYTES_MAX = 64 * MIB;

interface Request {
  readonly kind: DiskOperation;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly bytes: Uint8Array | null;
  readonly tag: number;
  readonly sink: DiskSink;
}

export interface VolatileCacheOptions {
  /** Bytes kept at most; a request that finds less than that may still exceed it. Default {@link VOLATILE_CACHE_BYTES_MAX}. */
  readonly cacheBytesMax?: number;
}

function copyKnown(page: CachedPage | undefined, from: number, to: number, target: Uint8Array, at: number): void {
  if (page === undefined) return;
  page.forEachRun(from, to, (first, end) => {
    if (page.kind === PageKind.DATA) target.set(page.bytes.subarray(first, end), at + first - from);
    else target.fill(0, at + first - from, at + end - from);
  });
}

/** The extents of the disk underneath, with the pages that are in memory over them. */
function merged(offsetBytes: number, extents: readonly DiskExtent[], holes: ReadonlyMap<number, boolean>): DiskExtent[] {
  const result: { lengthBytes: number; hole: boolean }[] = [];
  let at = offsetBytes;
  for (const extent of extents) {
    forEachPage(at, extent.lengthBytes, (index, from, to) => {
      const hole = holes.get(index) ?? extent.hole;
      const last = result.at(-1);
      if (last !== undefined && last.hole === hole) last.lengthBytes += to - from;
      else result.push({ lengthBytes: to - from, hole });
    });
    at += extent.lengthBytes;
  }
  return result;
}
