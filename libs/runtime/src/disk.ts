/**
 * A disk: what a store is kept on. The interface is built for batches: requests are queued during a turn, `submit`
 * starts them, and completions carry a tag in place of a closure.
 */

/** Gets the outcome of disk requests. */
export interface DiskSink {
  /** The request with this tag has ended; `status` is 0 or an errno of `Status`. Never called from within the call that queued it; may be called from within {@link Disk.submit}. */
  onDiskDone(tag: number, status: number): void;
}

/** What a disk can do cheaply. */
export interface DiskFeatures {
  /** {@link Disk.punch} frees space and takes no longer than a metadata update. */
  readonly fastPunch: boolean;
  /** Zeroes can be written without freeing space and without moving data. */
  readonly fastZero: boolean;
  /** The block in which the disk frees space, a power of two in bytes: {@link Disk.punch} of less, or across borders of blocks, leaves zeroes behind. */
  readonly holeBytes: number;
  /** {@link Disk.extents} tells holes from data. */
  readonly extents: boolean;
  /** Everything that was written survives the death of this process, though not of the host: it is in the kernel's hands when `onDiskDone` is called (L6). */
  readonly survivesProcessCrash: boolean;
}

/** One run of bytes with the same allocation. */
export interface DiskExtent {
  readonly lengthBytes: number;
  /** True when the range is a hole, which reads as zeroes. */
  readonly hole: boolean;
}

/** Space of what a disk is kept on, in bytes. */
export interface DiskSpace {
  /** What this disk may still take. */
  readonly freeBytes: number;
  /** The size of the whole, for everybody who uses it. */
  readonly totalBytes: number;
  /** What this disk would take if all of it was written, beyond what it has. */
  readonly wantedBytes: number;
}

/**
 * Semantics: requests that overlap and are in flight together have no order. A write, punch or zero that has ended is
 * seen by every later read, and is durable once a flush that was queued after its end has ended with status 0.
 * A write or zero that ends with ENOSPC has changed nothing. Where that can't be said, it ends with EIO.
 *
 * A cache may take what the disk can't, so that a flush fails, and nobody knows for what. A write, punch or zero that is made *through* (the
 * last argument, default false) goes past all caches, as far as the disk can do that: where it fails, it fails by itself, and leaves nothing
 * behind for which a flush would fail.
 * Offsets and lengths are in bytes; ranges lie within the disk (else the request ends with EINVAL).
 */
export interface Disk {
  readonly sizeBytes: number;
  readonly features: DiskFeatures;
  /** As last seen, a few seconds ago at most while the disk is in use. Null: it shares its space with nobody, or nobody can say. */
  readonly space: DiskSpace | null;
  /** Fills `target` from `offsetBytes`. */
  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void;
  /** Writes `source`, which stays unchanged until the end. */
  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink, through?: boolean): void;
  /** Makes every write that has ended durable. */
  flush(tag: number, sink: DiskSink): void;
  /** The range reads as zeroes afterwards; its space is freed where the disk can. */
  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through?: boolean): void;
  /** The range reads as zeroes afterwards and stays allocated. */
  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through?: boolean): void;
  /**
   * Asks for space, so that a write or zero of the range does not end with ENOSPC: content and size stay as they are. True: there is
   * space, or nobody can say; nothing is called. False: {@link submit} starts it, and the sink is told, ENOSPC where there is none.
   * Decided in the order of the calls, so that disks of equal members, which are asked for the same in the same order, say the same.
   */
  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): boolean;
  /**
   * Gives the range space of its own for good, as {@link zero} does, but keeps its content. Control path. ENOTSUP: the disk can't; whoever writes all of the
   * range has the same effect.
   */
  allocate(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void;
  /** Starts what has been queued, merging neighbours where that is faster. */
  submit(): void;
  /** Allocation of the range, or of a first part of it where there are many runs: adjoining runs, at least one. Control path. Without the `extents` feature: one run of data. */
  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void;
  /** Waits for what is in flight, then gives up the lock and closes. */
  close(done: (status: number) => void): void;
}
