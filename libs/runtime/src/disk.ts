/**
 * Every later read sees a write, punch or zero that has ended. It is durable once a flush that was queued after its end
 * has ended with status 0. Requests that overlap and are in flight together have no order.
 * A write or zero that ends with ENOSPC has changed nothing. If the disk can't be sure of that, the request ends with EIO.
 *
 * A cache may take what the disk can't keep. Then a flush fails, and does not tell for which range. A write, punch or zero with `through`
 * goes past all caches, as far as the disk can do that: if the disk can't keep it, the request itself ends with an error, and no later flush
 * fails for it.
 *
 * Offsets and lengths are in bytes. Ranges lie within the disk; else the request ends with EINVAL.
 */
export interface Disk {
  readonly sizeBytes: number;
  readonly features: DiskFeatures;
  /**
   * The space as it was last seen. While the disk is in use, that was a few seconds ago at most. Null: the disk shares its space with
   * nothing else, or its space is not known.
   */
  readonly space: DiskSpace | null;
  /** Fills `target` from `offsetBytes`. */
  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void;
  /** Writes `source`. The caller leaves `source` unchanged until the request has ended. */
  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink, through?: boolean): void;
  /** Makes every write that has ended durable. */
  flush(tag: number, sink: DiskSink): void;
  /** The range reads as zeroes afterwards; its space is freed where the disk can. */
  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through?: boolean): void;
  /** The range reads as zeroes afterwards and stays allocated. */
  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through?: boolean): void;
  /**
   * Asks for space, so that a write or zero of the range does not end with ENOSPC. Content and size stay as they are. True: there is
   * space, or the disk can't tell; the sink is not called. False: {@link submit} starts the request, and the sink is told its outcome, which
   * is ENOSPC when there is no space. The disk decides in the order of the calls. So the disks of equal members, which get the same calls in
   * the same order, decide alike.
   */
  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): boolean;
  /**
   * Gives the range space of its own for good, as {@link zero} does, and keeps its content. Control path. ENOTSUP: the disk can't do it;
   * writing all of the range has the same effect.
   */
  allocate(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): void;
  /** Starts what has been queued, merging neighbours where that is faster. */
  submit(): void;
  /**
   * Tells which parts of the range are holes, as adjoining runs, at least one. When there are many runs, they cover only the first part of
   * the range. A disk without the `extents` feature tells one run of data. Control path.
   */
  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void;
  /** Waits until no request is in flight, then gives up the lock and closes. */
  close(done: (status: number) => void): void;
}

/**
 * A disk, on which a store is kept. The interface is built for batches: requests are queued during a turn, `submit`
 * starts them, and completions carry a tag in place of a closure.
 */

/** The object that is told how disk requests ended. */
export interface DiskSink {
  /**
   * The request with this tag has ended. `status` is 0 or an errno of `Status`. It is never called from within the call that queued the
   * request, and may be called from within {@link Disk.submit}.
   */
  onDiskDone(tag: number, status: number): void;
}

/** What a {@link Disk} is asked for, one for each of its methods. The numbers stay within a process. */
export const DiskOperation = { READ: 0, WRITE: 1, FLUSH: 2, PUNCH: 3, ZERO: 4, ALLOCATE: 5 } as const;
export type DiskOperation = (typeof DiskOperation)[keyof typeof DiskOperation];

/** The operations that a disk can do cheaply. */
export interface DiskFeatures {
  /** {@link Disk.punch} frees space and takes no longer than a metadata update. */
  readonly fastPunch: boolean;
  /** Zeroes can be written without freeing space and without moving data. */
  readonly fastZero: boolean;
  /**
   * The size of the block in which the disk frees space, a power of two in bytes. {@link Disk.punch} frees whole blocks only. The parts of
   * its range that do not fill a block are written with zeroes.
   */
  readonly holeBytes: number;
  /** {@link Disk.extents} tells holes from data. */
  readonly extents: boolean;
  /**
   * Data that was written survives the death of this process, though not that of the host: it is in the kernel's hands when `onDiskDone` is
   * called (L6).
   */
  readonly survivesProcessCrash: boolean;
}

/** One run of bytes with the same allocation. */
export interface DiskExtent {
  readonly lengthBytes: number;
  /** True when the range is a hole, which reads as zeroes. */
  readonly hole: boolean;
}

/** The space of the file system or device that a disk is kept on, in bytes. */
export interface DiskSpace {
  /** What this disk may still take. */
  readonly freeBytes: number;
  /** The size of the file system, which others may use too. */
  readonly totalBytes: number;
  /** The space that this disk would still take if all of it was written. */
  readonly wantedBytes: number;
}
