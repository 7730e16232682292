/**
 * A {@link Disk} on the export of an NBD server. It is one attachment: when its connection is lost, the disk is gone for good, and all that is
 * asked of it ends with EIO. A new attachment is another disk. What was not flushed on the old one may be lost, as the server may have been
 * started anew (L6), so the disk never claims to outlive this process.
 */
import {
  CommandFlag,
  type ExportFailure,
  NbdClient,
  type NbdClientParts,
  nbdCommandChanges,
  parseNbdUri,
  type RemoteExport,
  TransmissionFlag,
} from '@rmr/nbd';
import {
  assert,
  type Disk,
  type DiskExtent,
  type DiskFeatures,
  type DiskSink,
  type DiskSpace,
  errorMessage,
  MIB,
  OperationError,
  Status,
} from '@rmr/runtime';
import { DiskProgress } from './disk-progress.ts';
import type { DiskPace } from './kept-store.ts';

/** See the head of this file. */
export class NbdDisk implements Disk {
  readonly uri: string;
  readonly #client: NbdClient;
  readonly #clock: NbdClientParts['world']['clock'];
  readonly #progress = new DiskProgress();
  readonly #pending: Pending[] = [];
  readonly #free: Pending[] = [];
  #remote: RemoteExport | null = null;
  #features: DiskFeatures | null = null;
  /** Called once, when the export is there, or can't be had. */
  onOpened: ((failure: ExportFailure | null) => void) | null = null;
  /** Called when the attachment is lost after it was made. `changes`: the server may still carry out something that it was sent. */
  onLost: ((changes: boolean) => void) | null = null;

  /** For {@link openNbdDisk}. */
  constructor(parts: NbdClientParts, uri: string) {
    this.uri = uri;
    this.#clock = parts.world.clock;
    this.#client = new NbdClient(parts, parseNbdUri(uri), {
      onReady: (found) => {
        this.#remote = found;
        this.#features = featuresOf(found);
        this.#tellOpened(null);
      },
      onLost: (failure) => {
        if (this.#remote === null) this.#tellOpened(failure);
        else this.onLost?.(this.#client.lostChanges);
      },
      onAnswer: (command) => {
        const nowMs = this.#clock.nowMs();
        if (nbdCommandChanges(command)) this.#progress.wrote(nowMs);
        else this.#progress.answered(nowMs);
      },
    });
  }

  get sizeBytes(): number {
    return this.remote.sizeBytes;
  }

  get features(): DiskFeatures {
    assert(this.#features !== null, 'nbd disk: used before it was opened');
    return this.#features;
  }

  /** The export as its server describes it. */
  get remote(): RemoteExport {
    assert(this.#remote !== null, 'nbd disk: used before it was opened');
    return this.#remote;
  }

  /** No server tells. */
  get space(): DiskSpace | null {
    return null;
  }

  /** Why the export is gone; null: it is there. */
  get lostReason(): string | null {
    const failure = this.#client.failure;
    return failure === null ? null : `${this.uri} is gone: ${failure.reason}`;
  }

  /** Milliseconds for which requests have waited without any answer, at least; see {@link DiskProgress}. Asked regularly. */
  waitingMs(nowMs: number): number {
    return this.#progress.idleMs(nowMs);
  }

  /** How the disk gets on, as it was when {@link waitingMs} was asked last. What the server has not written yet, nobody knows. */
  get pace(): DiskPace {
    return { oldestMs: this.#progress.oldestMs, unwrittenBytes: 0, bytesPerSecond: null };
  }

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    const pending = this.#take(true, offsetBytes, target.length, tag, sink);
    this.#client.read(offsetBytes, target, pending.index, this.#sink);
  }

  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink, through = false): void {
    const pending = this.#take(false, offsetBytes, source.length, tag, sink);
    pending.fua = this.#hasFua(through);
    this.#client.write(offsetBytes, source, pending.fua, pending.index, this.#sink);
  }

  flush(tag: number, sink: DiskSink): void {
    this.#client.flush(this.#take(false, 0, 0, tag, sink).index, this.#sink);
  }

  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#clear(offsetBytes, lengthBytes, 0, through, tag, sink);
  }

  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#clear(offsetBytes, lengthBytes, CommandFlag.NO_HOLE, through, tag, sink);
  }

  /** Nobody can tell whether there is space. A write that finds none ends with EIO, as the server may have done a part of it. */
  reserve(): boolean {
    return true;
  }

  allocate(_offsetBytes: number, _lengthBytes: number, tag: number, sink: DiskSink): void {
    this.#refused.push({ tag, sink });
  }

  submit(): void {
    if (this.#refused.length > 0) for (const { tag, sink } of this.#refused.splice(0)) sink.onDiskDone(tag, Status.ENOTSUP);
    this.#client.submit();
  }

  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    if (!this.#isInRange(offsetBytes, lengthBytes)) {
      done(Status.EINVAL, []);
    } else if (!this.features.extents || lengthBytes === 0) {
      done(Status.OK, lengthBytes === 0 ? [] : [{ lengthBytes, hole: false }]);
    } else {
      const generation = this.#progress.begin(true);
      this.#client.extents(offsetBytes, lengthBytes, (status, extents) => {
        this.#progress.end(true, generation);
        done(status === Status.OK ? Status.OK : Status.EIO, extents);
      });
    }
  }

  /** Status: EIO if the export was lost. */
  close(done: (status: number) => void): void {
    this.submit();
    this.#client.close(done);
  }

  /** Requests for space of their own, which no server gives. Control path. */
  readonly #refused: { readonly tag: number; readonly sink: DiskSink }[] = [];

  #isInRange(offsetBytes: number, lengthBytes: number): boolean {
    return offsetBytes >= 0 && lengthBytes >= 0 && offsetBytes + lengthBytes <= this.sizeBytes;
  }

  #take(isRead: boolean, offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): Pending {
    let pending = this.#free.pop();
    if (pending === undefined) {
      pending = new Pending(this.#pending.length);
      this.#pending.push(pending);
    }
    pending.sink = sink;
    pending.tag = tag;
    pending.isRead = isRead;
    pending.inRange = this.#isInRange(offsetBytes, lengthBytes);
    pending.zeroesLeft = 0;
    pending.fua = false;
    pending.generation = this.#progress.begin(isRead);
    return pending;
  }

  /** A server that does not offer FUA may keep what goes through in a cache of its own. */
  #hasFua(through: boolean): boolean {
    return through && (this.remote.transmissionFlags & TransmissionFlag.SEND_FUA) !== 0;
  }

  #clear(offsetBytes: number, lengthBytes: number, flags: number, through: boolean, tag: number, sink: DiskSink): void {
    const pending = this.#take(false, offsetBytes, lengthBytes, tag, sink);
    pending.fua = this.#hasFua(through);
    if (this.features.fastZero || !pending.inRange) {
      const all = pending.fua ? flags | CommandFlag.FUA : flags;
      this.#client.writeZeroes(offsetBytes, lengthBytes, all, pending.index, this.#sink);
      return;
    }
    pending.zeroesOffset = offsetBytes;
    pending.zeroesLeft = lengthBytes;
    this.#writeZeroes(pending);
  }

  #writeZeroes(pending: Pending): void {
    const part = Math.min(ZEROES_BYTES, pending.zeroesLeft);
    const source = part === ZEROES_BYTES ? ZEROES : ZEROES.subarray(0, part);
    this.#client.write(pending.zeroesOffset, source, pending.fua, pending.index, this.#sink);
    pending.zeroesOffset += part;
    pending.zeroesLeft -= part;
  }

  readonly #sink: DiskSink = {
    onDiskDone: (index, status) => {
      const pending = this.#pending[index] as Pending;
      if (status === Status.OK && pending.zeroesLeft > 0) {
        this.#writeZeroes(pending);
        this.#client.submit();
        return;
      }
      const { sink, tag, isRead, generation, inRange } = pending;
      assert(sink !== null, 'nbd disk: a request ends once');
      pending.sink = null;
      this.#progress.end(isRead, generation);
      this.#free.push(pending);
      // ENOSPC would promise that nothing was changed (W8). Nobody knows that of a server.
      sink.onDiskDone(tag, status === Status.OK || !inRange ? status : Status.EIO);
    },
  };

  #tellOpened(failure: ExportFailure | null): void {
    const tell = this.onOpened;
    this.onOpened = null;
    tell?.(failure);
  }
}

/** Bytes of zeroes that are written at a time where the server can't zero by itself. */
const ZEROES_BYTES = MIB;
const ZEROES = new Uint8Array(ZEROES_BYTES);
/** Blocks in which a server counts as freeing space: what it prefers, within these bounds. */
const HOLE_BYTES_MIN = 4096;
const HOLE_BYTES_MAX = 65_536;

/** How an export is opened. */
export interface NbdDiskOptions {
  /** An NBD URI. */
  readonly uri: string;
  /** For looking at a store that may be in use. */
  readonly readOnly?: boolean;
}

/** A request on its way. Used again and again; its place in the list is its tag with the client. */
class Pending {
  readonly index: number;
  sink: DiskSink | null = null;
  tag = 0;
  isRead = false;
  /** For {@link DiskProgress}. */
  generation = 0;
  /** It lies within the disk: if the server calls it invalid all the same, that is an error of the server. */
  inRange = false;
  /** Zeroes that are still to be written as data. */
  zeroesOffset = 0;
  zeroesLeft = 0;
  /** It is durable when it ends. */
  fua = false;

  constructor(index: number) {
    this.index = index;
  }
}

/**
 * Attaches to an export. Errors: INVALID_ARGUMENT (the URI, or an export whose smallest block is too large), NOT_FOUND, PERMISSION_DENIED,
 * UNSUPPORTED, UNAVAILABLE, TIMEOUT.
 */
export function openNbdDisk(parts: NbdClientParts, options: NbdDiskOptions, done: (result: NbdDisk | OperationError) => void): void {
  let disk: NbdDisk;
  try {
    disk = new NbdDisk(parts, options.uri);
  } catch (error) {
    done(error instanceof OperationError ? error : new OperationError('INVALID_ARGUMENT', errorMessage(error)));
    return;
  }
  disk.onOpened = (failure) => {
    const wrong = failure ?? unsuitable(disk, options);
    if (wrong === null) {
      done(disk);
      return;
    }
    const error = new OperationError(wrong.code, `${options.uri} can't be opened: ${wrong.reason}`);
    disk.close(() => done(error));
  };
}

function unsuitable({ remote }: NbdDisk, { readOnly = false }: NbdDiskOptions): ExportFailure | null {
  const { transmissionFlags: flags, blockSizes } = remote;
  if (blockSizes.minBytes > 1) {
    return {
      code: 'INVALID_ARGUMENT',
      reason: `the server takes only multiples of ${blockSizes.minBytes} bytes, and a store reads and writes any number of bytes: have the server take them, for example with nbdkit's blocksize filter`,
    };
  }
  if (readOnly) return null;
  if ((flags & TransmissionFlag.READ_ONLY) !== 0)
    return { code: 'PERMISSION_DENIED', reason: 'the server offers it for reading only: have it offer the export for writing' };
  if ((flags & TransmissionFlag.SEND_FLUSH) === 0)
    return { code: 'UNSUPPORTED', reason: 'the server offers no flush, so nothing that is written there would be known to be durable' };
  return null;
}

function featuresOf({ transmissionFlags, blockSizes, allocationContextId }: RemoteExport): DiskFeatures {
  const zeroes = (transmissionFlags & TransmissionFlag.SEND_WRITE_ZEROES) !== 0;
  const holeBytes = Math.min(HOLE_BYTES_MAX, Math.max(HOLE_BYTES_MIN, blockSizes.preferredBytes));
  return {
    fastPunch: zeroes,
    fastZero: zeroes,
    // Where zeroes are written as data, only those of a whole message are worth a request of their own.
    holeBytes: zeroes ? holeBytes : ZEROES_BYTES,
    extents: allocationContextId !== null,
    survivesProcessCrash: false,
  };
}
