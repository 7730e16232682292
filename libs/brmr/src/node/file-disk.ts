import { close as closeFd, fdatasync, read as readFd, write as writeFd } from 'node:fs';
import { assert, type Disk, type DiskExtent, type DiskFeatures, DiskOperation, type DiskSink, type DiskSpace, Status } from '@rmr/runtime';
import { addressOf, IoVector } from '@rmr/runtime/node';
import { DiskProgress } from '../core/server/disk-progress.ts';
import type { DiskPace } from '../core/server/kept-store.ts';
import { type StorePlaces, ThreadPlaces } from '../core/server/thread-places.ts';
import { DeviceCanary } from './device-canary.ts';
import { type DiskFile, type DiskFileOptions, openDiskFile, whyGone } from './disk-file.ts';
import { statusOfErrno } from './errno-status.ts';
import { lookUpExtents } from './file-extents.ts';
import { FileRoom } from './file-room.ts';
import {
  Errno,
  errno,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  fallocate,
  preadv2,
  pwritev,
  RWF_NOWAIT,
} from './libc.ts';
import { WriteBack } from './write-back.ts';
import { WriteThrough } from './write-through.ts';

/**
 * A {@link Disk} on a file or block device. In the caller's thread, writes go into the page cache, and reads come from the page cache if
 * it has their data. All that could wait for the device goes to the thread pool: cold reads, flushes, allocation. After a call has
 * stalled, everything goes there for a while.
 */
export class FileDisk implements Disk {
  readonly sizeBytes: number;
  readonly features: DiskFeatures;
  readonly path: string;
  readonly counters: FileDiskCounters = { inlineCalls: 0, inlineRequests: 0, pooledRequests: 0, stalls: 0 };
  readonly #file: DiskFile;
  readonly #alwaysPool: boolean;
  readonly #canary: DeviceCanary | null;
  readonly #places: StorePlaces;
  readonly #vector = new IoVector(VECTOR_MAX);
  readonly #free: Request[] = [];
  readonly #spareQueues: Request[][] = [];
  #queue: Request[] = [];
  /** What waits for a place in the thread pool: requests, and what looks up extents. */
  #pooled: (Request | (() => void))[] = [];
  #pooledHead = 0;
  #poolInFlight = 0;
  /** Holes and zeroes that wait for a place there, and how many have one. */
  readonly #allocations: Request[] = [];
  #allocating = 0;
  /** Whether the last that got a place was one of these. */
  #allocatedLast = false;
  #allocationStartedMs = Number.POSITIVE_INFINITY;
  #inFlight = 0;
  readonly #progress = new DiskProgress();
  readonly #writeBack: WriteBack | null;
  readonly #through: WriteThrough;
  /** Writes from here on wait while too much is unwritten. */
  #boundedFromBytes = Number.POSITIVE_INFINITY;
  #held: Request[] = [];
  /** Bytes of writes that have begun. */
  #writingBytes = 0;
  readonly #room: FileRoom;
  /** Flags of an inline read; -1 = reads are never inline, because the file system can't promise not to wait. */
  #readFlags: number;
  #canPunch: boolean;
  #canZero: boolean;
  #poolUntilMs = Number.NEGATIVE_INFINITY;
  #flushStartedMs = Number.POSITIVE_INFINITY;
  /** Flushes that a running one covers, and those that wait for the next one. */
  #flushing: Request[] = [];
  #flushesWaiting: Request[] = [];
  #flushMark = 0;
  #whenQuiet: (() => void) | null = null;
  #closed = false;

  /** Opens and locks the file or block device. Errors: as `openDiskFile`. */
  constructor(options: FileDiskOptions) {
    const file = openDiskFile(options);
    this.#file = file;
    this.#places = options.places ?? new ThreadPlaces(Number.POSITIVE_INFINITY).join();
    this.#places.onFree = () => this.#goOn();
    this.path = file.path;
    this.sizeBytes = file.sizeBytes;
    this.#canPunch = file.punch;
    this.#canZero = file.zeroRange;
    this.#alwaysPool = file.remote || options.tuning?.mode === 'pool';
    this.#canary =
      file.inMemory || this.#alwaysPool || options.readOnly === true
        ? null
        : DeviceCanary.open(file.path, this.#places, () => this.#progress.answered(performance.now()));
    const observer = { onProgress: () => this.#progress.wrote(performance.now()), onRoom: () => this.#release() };
    this.#writeBack = file.inMemory || options.readOnly === true ? null : WriteBack.open(file.fd, file.device, this.#places, observer);
    this.#through = new WriteThrough(file.fd);
    this.#room = new FileRoom(
      {
        ...{ fd: file.fd, path: file.path, sizeBytes: file.sizeBytes, isFile: !file.blockDevice && options.readOnly !== true },
        ...{ progress: this.#progress, places: this.#places },
        inPool: (start) => {
          this.#pooled.push(() => start(() => this.#leavePool()));
          this.#startPooled();
        },
      },
      file.space,
    );
    // tmpfs knows no NOWAIT, and needs none.
    this.#readFlags = file.inMemory ? 0 : RWF_NOWAIT;
    this.features = {
      ...{ fastPunch: file.punch, fastZero: file.zeroRange, extents: file.seekData, survivesProcessCrash: true },
      // Where zeroes are written as data, only those of a whole message are worth a request of their own.
      holeBytes: file.punch ? file.holeBytes : Math.max(file.holeBytes, ZEROES_BYTES),
    };
  }

  /** True while the disk counts as stalled. */
  get stalled(): boolean {
    return this.#stalledAt(performance.now());
  }

  /**
   * Milliseconds for which requests have waited without any progress of the disk, at least; see {@link DiskProgress}. Asked
   * regularly, it finds out whether there is progress.
   */
  waitingMs(nowMs: number): number {
    const idleMs = this.#progress.idleMs(nowMs);
    if (this.#progress.oldestMs > 0) {
      this.#canary?.ask(nowMs);
      this.#writeBack?.look(nowMs);
    }
    return idleMs;
  }

  get space(): DiskSpace | null {
    return this.#room.space;
  }

  /** How the disk gets on, as it was when {@link waitingMs} was asked last. */
  get pace(): DiskPace {
    const limit = this.#writeBack?.limit;
    return {
      oldestMs: this.#progress.oldestMs,
      unwrittenBytes: limit?.unwrittenBytes ?? 0,
      bytesPerSecond: limit?.bytesPerSecond ?? null,
    };
  }

  /**
   * From now on writes at `fromBytes` and beyond wait while a flush would owe more than a few seconds ({@link UnwrittenLimit}).
   * What is before, metadata, is little and never waits.
   */
  boundUnwritten(fromBytes: number): void {
    this.#boundedFromBytes = fromBytes;
  }

  /** Calls back why the path no longer leads to what is open here; null = it does, or nobody can say. Looks how much space there is, too. */
  checkPresence(done: (reason: string | null) => void): void {
    if (!this.#places.take()) {
      done(null);
      return;
    }
    whyGone(this.#file, (reason) => {
      this.#places.give();
      // After that, as there may be no more than one place.
      if (!this.#closed) this.#room.look(performance.now());
      done(reason);
    });
  }

  #stalledAt(nowMs: number): boolean {
    const canaryLateMs = this.#canary === null ? 0 : this.#canary.lateMs(nowMs);
    if (canaryLateMs > DEVICE_STALL_MS) this.#hold(nowMs);
    return (
      canaryLateMs > 0 ||
      nowMs < this.#poolUntilMs ||
      nowMs - this.#flushStartedMs > FLUSH_SLOW_MS ||
      nowMs - this.#allocationStartedMs > ALLOCATION_SLOW_MS
    );
  }

  /** From here on the disk is in the thread pool for a while. */
  #hold(nowMs: number): void {
    if (nowMs >= this.#poolUntilMs) this.counters.stalls++;
    this.#poolUntilMs = nowMs + POOL_HOLD_MS;
  }

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.READ, offsetBytes, target.length, target, tag, sink);
  }

  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink, through = false): void {
    this.#enqueue(DiskOperation.WRITE, offsetBytes, source.length, source, tag, sink, through);
  }

  flush(tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.FLUSH, 0, 0, NO_BYTES, tag, sink);
  }

  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#enqueue(DiskOperation.PUNCH, offsetBytes, lengthBytes, NO_BYTES, tag, sink, through);
  }

  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#enqueue(DiskOperation.ZERO, offsetBytes, lengthBytes, NO_BYTES, tag, sink, through);
  }

  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): boolean {
    assert(!this.#closed, 'file disk: not used after close');
    if (this.#room.has(offsetBytes, lengthBytes) || offsetBytes + lengthBytes > this.sizeBytes) return true;
    this.#inFlight++;
    this.#room.reserve(offsetBytes, lengthBytes, tag, {
      onDiskDone: (_tag, status) => {
        this.#inFlight--;
        sink.onDiskDone(tag, status);
        this.#checkQuiet();
      },
    });
    return false;
  }

  allocate(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#enqueue(DiskOperation.ALLOCATE, offsetBytes, lengthBytes, NO_BYTES, tag, sink);
  }

  submit(): void {
    const queue = this.#queue;
    if (queue.length === 0) return;
    this.#queue = this.#spareQueues.pop() ?? [];
    this.#inFlight += queue.length;
    const startMs = performance.now();
    this.#room.look(startMs);
    if (this.#canary !== null) this.#canary.ask(startMs);
    const inline = !this.#alwaysPool && !this.#stalledAt(startMs);
    let callsBefore = this.counters.inlineCalls;
    for (let i = 0; i < queue.length; ) {
      const request = queue[i] as Request;
      if (request.offsetBytes < 0 || request.offsetBytes + request.lengthBytes > this.sizeBytes) {
        this.#finish(request, Status.EINVAL);
        i++;
      } else if (this.#hasToWait(request)) {
        this.#held.push(request);
        i++;
      } else if (
        inline &&
        !request.through &&
        (request.kind === DiskOperation.WRITE || (request.kind === DiskOperation.READ && this.#readFlags >= 0))
      ) {
        i += this.#moveInline(queue, i);
      } else {
        this.#start(request);
        i++;
      }
    }
    queue.length = 0;
    this.#spareQueues.push(queue);
    this.#writeBack?.goOn();
    callsBefore = this.counters.inlineCalls - callsBefore;
    if (callsBefore === 0) return;
    const endMs = performance.now();
    if (endMs - startMs > STALL_MS) this.#hold(endMs);
  }

  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    if (offsetBytes < 0 || lengthBytes < 0 || offsetBytes + lengthBytes > this.sizeBytes) {
      done(Status.EINVAL, []);
      return;
    }
    if (!this.features.extents || lengthBytes === 0) {
      done(Status.OK, lengthBytes === 0 ? [] : [{ lengthBytes, hole: false }]);
      return;
    }
    this.#inFlight++;
    const generation = this.#progress.begin(true);
    const seek = (): void => lookUpExtents(this.#file.fd, offsetBytes, offsetBytes + lengthBytes, ended);
    const ended = (status: number, extents: readonly DiskExtent[]): void => {
      this.#leavePool();
      this.#progress.end(true, generation);
      this.#inFlight--;
      done(status, extents);
      this.#checkQuiet();
    };
    this.#pooled.push(seek);
    this.#startPooled();
  }

  close(done: (status: number) => void): void {
    assert(!this.#closed, 'file disk: closed once');
    this.submit();
    this.#closed = true;
    this.#whenQuiet = () => {
      const closeCached = (): void => closeFd(this.#file.fd, (error) => done(error === null ? Status.OK : statusOf(error)));
      const closeFile = (): void => this.#through.close(closeCached);
      const closeCanary = (): void => (this.#canary === null ? closeFile() : this.#canary.close(closeFile));
      if (this.#writeBack === null) closeCanary();
      else this.#writeBack.close(closeCanary);
    };
    this.#checkQuiet();
  }

  #enqueue(
    kind: DiskOperation,
    offsetBytes: number,
    lengthBytes: number,
    bytes: Uint8Array,
    tag: number,
    sink: DiskSink,
    through = false,
  ): void {
    assert(!this.#closed, 'file disk: not used after close');
    const request = this.#free.pop() ?? new Request(this);
    request.kind = kind;
    request.offsetBytes = offsetBytes;
    request.lengthBytes = lengthBytes;
    request.doneBytes = 0;
    request.writesZeroes = false;
    request.through = through;
    request.released = false;
    request.bytes = bytes;
    request.tag = tag;
    request.sink = sink;
    request.generation = this.#progress.begin(kind === DiskOperation.READ);
    this.#queue.push(request);
  }

  /** Moves a run of neighbours that starts at `first` with one system call. Returns how many requests that were. */
  #moveInline(queue: Request[], first: number): number {
    const head = queue[first] as Request;
    let count = 1;
    let bytes = head.lengthBytes;
    this.#vector.set(0, addressOf(head.bytes), head.lengthBytes);
    while (count < VECTOR_MAX && first + count < queue.length) {
      const next = queue[first + count] as Request;
      if (next.kind !== head.kind || next.through || next.offsetBytes !== head.offsetBytes + bytes) break;
      if (bytes + next.lengthBytes > MERGED_BYTES_MAX || next.offsetBytes + next.lengthBytes > this.sizeBytes) break;
      this.#vector.set(count, addressOf(next.bytes), next.lengthBytes);
      bytes += next.lengthBytes;
      count++;
    }
    const moved =
      head.kind === DiskOperation.WRITE
        ? pwritev(this.#file.fd, this.#vector.address, count, head.offsetBytes)
        : preadv2(this.#file.fd, this.#vector.address, count, head.offsetBytes, this.#readFlags);
    const error = moved < 0 ? errno() : 0;
    this.counters.inlineCalls++;
    this.counters.inlineRequests += count;
    let left = Math.max(moved, 0);
    for (let i = first; i < first + count; i++) {
      const request = queue[i] as Request;
      const part = Math.min(left, request.lengthBytes);
      left -= part;
      request.doneBytes = part;
      if (part === request.lengthBytes) this.#finish(request, Status.OK);
      else if (error === 0 || error === Errno.EAGAIN || error === Errno.EINTR) this.#start(request);
      else if (error === Errno.EOPNOTSUPP && head.kind === DiskOperation.READ && this.#readFlags !== 0) {
        this.#readFlags = -1;
        this.#start(request);
      } else if (count > 1) {
        // One of several can't be moved: each for itself, so that the others don't suffer.
        this.#start(request);
      } else this.#failMove(request, error);
    }
    return count;
  }

  /** Starts what does not run in this thread. */
  #start(request: Request): void {
    switch (request.kind) {
      case DiskOperation.FLUSH:
        this.#flushesWaiting.push(request);
        this.#startFlush();
        break;
      case DiskOperation.PUNCH:
      case DiskOperation.ZERO:
        this.#allocations.push(request);
        this.#startPooled();
        break;
      default:
        if (request.kind === DiskOperation.WRITE) this.#writingBytes += request.lengthBytes;
        this.#pooled.push(request);
        this.#startPooled();
    }
  }

  /** A place in the thread pool is free. */
  #goOn(): void {
    this.#writeBack?.goOn();
    this.#startFlush();
    this.#startPooled();
  }

  /** Whether too much is unwritten for it. Those that wait are first. */
  #hasToWait({ kind, offsetBytes, released }: Request): boolean {
    if (kind !== DiskOperation.WRITE || offsetBytes < this.#boundedFromBytes || released) return false;
    return this.#held.length > 0 || this.#writeBack?.roomBytes(this.#writingBytes) === 0;
  }

  /** Lets in what there is room for. */
  #release(): void {
    if (this.#held.length === 0 || this.#writeBack === null) return;
    let roomBytes = this.#writeBack.roomBytes(this.#writingBytes);
    let count = 0;
    for (; count < this.#held.length && roomBytes > 0; count++) {
      const request = this.#held[count] as Request;
      request.released = true;
      roomBytes -= request.lengthBytes;
    }
    if (count === 0) return;
    // What was given since, and not submitted, comes after it, and may have to wait.
    const later = this.#queue;
    this.#queue = this.#held.splice(0, count);
    this.#inFlight -= count;
    this.submit();
    for (const request of later) this.#queue.push(request);
  }

  /** One at a time, for all that wait: a disk that hangs keeps one thread with it. */
  #startFlush(): void {
    if (this.#flushing.length > 0 || this.#flushesWaiting.length === 0 || !this.#places.take()) return;
    const free = this.#flushing;
    this.#flushing = this.#flushesWaiting;
    this.#flushesWaiting = free;
    this.#flushStartedMs = performance.now();
    this.#flushMark = this.#writeBack?.limit.mark() ?? 0;
    fdatasync(this.#file.fd, this.#onFlushed);
  }

  #startAllocations(limit: number): void {
    // While the disk stalls one place is left for what is read and written.
    const allocationsMax = Math.min(ALLOCATIONS_IN_FLIGHT_MAX, Math.max(1, limit - 1));
    while (this.#allocations.length > 0 && this.#allocating < allocationsMax && this.#poolInFlight < limit && this.#places.take()) {
      this.#allocatedLast = true;
      if (this.#allocating++ === 0) this.#allocationStartedMs = performance.now();
      this.#poolInFlight++;
      this.counters.pooledRequests++;
      this.#movePooled(this.#allocations.shift() as Request);
    }
  }

  #leaveAllocation(): void {
    this.#allocationStartedMs = --this.#allocating === 0 ? Number.POSITIVE_INFINITY : performance.now();
    this.#leavePool();
  }

  #startPooled(): void {
    const limit = Math.min(this.#places.requestsMax, this.stalled ? POOL_IN_FLIGHT_STALLED_MAX : POOL_IN_FLIGHT_MAX);
    // Where there is one place only, holes and everything else take turns.
    if (limit > 1 || !this.#allocatedLast || this.#pooled.length === 0) this.#startAllocations(limit);
    while (this.#pooledHead < this.#pooled.length && this.#poolInFlight < limit && this.#places.take()) {
      this.#allocatedLast = false;
      const next = this.#pooled[this.#pooledHead++] as Request | (() => void);
      this.#poolInFlight++;
      this.counters.pooledRequests++;
      if (typeof next === 'function') next();
      else this.#movePooled(next);
    }
    if (this.#pooledHead === this.#pooled.length) {
      this.#pooled.length = 0;
      this.#pooledHead = 0;
    } else if (this.#pooledHead > 1024) {
      this.#pooled = this.#pooled.slice(this.#pooledHead);
      this.#pooledHead = 0;
    }
  }

  /** One of those that were started has ended. */
  #leavePool(): void {
    this.#poolInFlight--;
    this.#places.give();
    this.#startPooled();
  }

  #movePooled(request: Request): void {
    const { doneBytes, offsetBytes, lengthBytes } = request;
    const mode = this.#allocationMode(request);
    if (request.kind === DiskOperation.READ) {
      readFd(this.#file.fd, request.bytes, doneBytes, lengthBytes - doneBytes, offsetBytes + doneBytes, request.onMoved);
    } else if (request.kind === DiskOperation.WRITE) {
      if (request.through) this.#through.write(request.bytes, doneBytes, offsetBytes + doneBytes, request.onMoved);
      else writeFd(this.#file.fd, request.bytes, doneBytes, lengthBytes - doneBytes, offsetBytes + doneBytes, request.onMoved);
    } else if (request.kind === DiskOperation.ALLOCATE) {
      fallocate.async(this.#file.fd, FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes, request.onAllocated);
    } else if (mode !== 0) {
      if (request.kind === DiskOperation.PUNCH) this.#room.punched(offsetBytes, lengthBytes);
      fallocate.async(this.#file.fd, mode | FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes, request.onAllocated);
    } else {
      const zeroes = ZEROES.subarray(0, Math.min(ZEROES_BYTES, lengthBytes - doneBytes));
      if (request.through) this.#through.write(zeroes, 0, offsetBytes + doneBytes, request.onMoved);
      else writeFd(this.#file.fd, zeroes, 0, zeroes.length, offsetBytes + doneBytes, request.onMoved);
    }
  }

  /** For requests: the thread pool has moved some bytes. */
  onMoved(request: Request, error: NodeJS.ErrnoException | null, count: number): void {
    if (error === null) request.doneBytes += count;
    if (request.through) this.#progress.wrote(performance.now());
    const interrupted = error !== null && error.errno === -Errno.EINTR;
    if ((error === null && count > 0 && request.doneBytes < request.lengthBytes) || interrupted) {
      this.#movePooled(request);
      return;
    }
    if (request.kind === DiskOperation.WRITE) this.#writingBytes -= request.lengthBytes;
    if (request.kind === DiskOperation.ZERO || request.kind === DiskOperation.PUNCH) this.#leaveAllocation();
    else this.#leavePool();
    if (error !== null) this.#failMove(request, error.errno === undefined ? Errno.EIO : -error.errno);
    // Nothing moved and no error: the file ends here, although the disk does not.
    else this.#finish(request, request.doneBytes === request.lengthBytes ? Status.OK : Status.EIO);
    this.#writeBack?.goOn();
    this.#release();
  }

  /** A read, write, or the writing of zeroes has failed. One that has found no space after a part of it was done has changed something. */
  #failMove(request: Request, code: number): void {
    const status = statusOfErrno(code);
    if (status === Status.ENOSPC) this.#room.exhausted();
    this.#finish(request, status === Status.ENOSPC && request.doneBytes > 0 ? Status.EIO : status);
  }

  readonly #onFlushed = (error: NodeJS.ErrnoException | null): void => {
    const nowMs = performance.now();
    if (nowMs - this.#flushStartedMs > DEVICE_STALL_MS) this.#hold(nowMs);
    this.#writeBack?.limit.reached(this.#flushMark, this.#flushStartedMs, nowMs);
    this.#progress.wrote(nowMs);
    this.#flushStartedMs = Number.POSITIVE_INFINITY;
    this.#places.give();
    const status = error === null ? Status.OK : statusOf(error);
    const covered = this.#flushing;
    this.#flushing = [];
    for (const request of covered) this.#finish(request, status);
    this.#startFlush();
    this.#release();
  };

  /** How the file system is asked for a hole or for zeroes; 0: zeroes are written. */
  #allocationMode({ kind, writesZeroes }: Request): number {
    if (writesZeroes) return 0;
    if (kind === DiskOperation.PUNCH && this.#canPunch) return FALLOC_FL_PUNCH_HOLE;
    return (kind === DiskOperation.PUNCH || kind === DiskOperation.ZERO) && this.#canZero ? FALLOC_FL_ZERO_RANGE : 0;
  }

  /** For requests: the file system has punched or zeroed. */
  onAllocated(request: Request, error: Error | null, result: number): void {
    const code = result === 0 && error === null ? 0 : errno();
    const { kind, offsetBytes, lengthBytes } = request;
    if (kind === DiskOperation.ALLOCATE && code !== Errno.EINTR) {
      this.#leavePool();
      this.#finish(request, error !== null ? Status.EIO : code === 0 ? Status.OK : statusOfErrno(code));
      return;
    }
    // A reservation of the same range that ran meanwhile counts for nothing any more.
    if (kind === DiskOperation.PUNCH) this.#room.punched(offsetBytes, lengthBytes);
    if (code === Errno.EOPNOTSUPP) {
      if (request.kind === DiskOperation.PUNCH && this.#canPunch) this.#canPunch = false;
      else this.#canZero = false;
    }
    // Block devices want whole sectors; write the zeroes then.
    if (code === Errno.EINVAL) request.writesZeroes = true;
    if (error === null && (code === Errno.EOPNOTSUPP || code === Errno.EINVAL || code === Errno.EINTR)) {
      this.#movePooled(request);
      return;
    }
    this.#progress.wrote(performance.now());
    this.#leaveAllocation();
    // Part of the range may be done when no space is left for the rest.
    if (error !== null || code === Errno.ENOSPC || code === Errno.EDQUOT) this.#finish(request, Status.EIO);
    else this.#finish(request, code === 0 ? Status.OK : statusOfErrno(code));
  }

  /** Whether it has left data in the page cache: a write, or zeroes that were written. */
  #isData(request: Request): boolean {
    const { kind, through } = request;
    if (through) return false;
    return (
      kind === DiskOperation.WRITE || ((kind === DiskOperation.PUNCH || kind === DiskOperation.ZERO) && this.#allocationMode(request) === 0)
    );
  }

  #finish(request: Request, status: number): void {
    const { sink, tag } = request;
    assert(sink !== null, 'file disk: a request ends once');
    request.sink = null;
    request.bytes = NO_BYTES;
    this.#progress.end(request.kind === DiskOperation.READ, request.generation);
    if (status === Status.OK && this.#isData(request)) this.#writeBack?.limit.wrote(request.lengthBytes);
    this.#free.push(request);
    this.#inFlight--;
    sink.onDiskDone(tag, status);
    this.#checkQuiet();
  }

  #checkQuiet(): void {
    if (this.#whenQuiet === null || this.#inFlight > 0) return;
    const quiet = this.#whenQuiet;
    this.#whenQuiet = null;
    quiet();
  }
}

/** Requests merged into one system call (the kernel takes 1024). */
const VECTOR_MAX = 64;
/** Bytes merged into one system call: beyond, the call no longer matters. */
const MERGED_BYTES_MAX = 1024 * 1024;
/** An inline batch that takes longer than this, in milliseconds, is a stall: far above any copy into the page cache. */
const STALL_MS = 50;
/** While a flush takes longer than this, in milliseconds, nothing runs in the caller's thread: a write might get stuck behind it. */
const FLUSH_SLOW_MS = 100;
/** The same for a hole or zeroes: a file system has the file locked meanwhile. */
const ALLOCATION_SLOW_MS = 20;
/** A flush or a canary that takes longer than this, in milliseconds, is a stall. */
const DEVICE_STALL_MS = 1000;
/** How long a disk that stalled stays in the thread pool, in milliseconds. */
const POOL_HOLD_MS = 10_000;
/** Requests of one disk in the thread pool: enough to keep an SSD busy with reads. */
const POOL_IN_FLIGHT_MAX = 8;
/** Of these, holes and zeroes: each may take long, and reads are not to wait for all of them. */
const ALLOCATIONS_IN_FLIGHT_MAX = 2;
/** The same while it stalls, so that it leaves threads to other disks. */
const POOL_IN_FLIGHT_STALLED_MAX = 2;
/** Bytes of zeroes written at a time where the disk can't zero by itself. */
const ZEROES_BYTES = 1024 * 1024;
const ZEROES = new Uint8Array(ZEROES_BYTES);

const NO_BYTES = new Uint8Array(0);

/** How store IO is done; `docs/store-io.md` has the measurements behind the default. */
export interface FileDiskTuning {
  /**
   * `adaptive`: into the page cache in this thread, and in the thread pool while the disk stalls; remote file systems
   * always there. `pool`: always there.
   */
  readonly mode: 'adaptive' | 'pool';
}

export interface FileDiskOptions extends DiskFileOptions {
  readonly tuning?: FileDiskTuning;
  /** Its places in the thread pool, beside those of other stores; default: as many as a disk takes at most. */
  readonly places?: StorePlaces;
}

/** Figures of a disk, for metrics. */
export interface FileDiskCounters {
  inlineCalls: number;
  inlineRequests: number;
  pooledRequests: number;
  stalls: number;
}

/** A request on its way. Used again and again. */
class Request {
  kind: DiskOperation = DiskOperation.READ;
  offsetBytes = 0;
  lengthBytes = 0;
  /** The file system can't make a hole or zeroes of this range: zeroes are written. */
  writesZeroes = false;
  /** It goes past the page cache. */
  through = false;
  /** It has waited for room, and has it. */
  released = false;
  /** Bytes that are done. */
  doneBytes = 0;
  bytes: Uint8Array = NO_BYTES;
  tag = 0;
  sink: DiskSink | null = null;
  /** For {@link DiskProgress}. */
  generation = 0;
  /** Callbacks made once, so that none is made per request. */
  readonly onMoved: (error: NodeJS.ErrnoException | null, count: number) => void;
  readonly onAllocated: (error: Error | null, result: number) => void;

  constructor(disk: FileDisk) {
    this.onMoved = (error, count) => disk.onMoved(this, error, count);
    this.onAllocated = (error, result) => disk.onAllocated(this, error, result);
  }
}

function statusOf(error: NodeJS.ErrnoException): number {
  return statusOfErrno(error.errno === undefined ? Errno.EIO : -error.errno);
}
