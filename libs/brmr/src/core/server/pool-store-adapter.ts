import type { BitmapStore } from '@rmr/bitmap-store';
import type { DirtyMap } from '@rmr/dirty-map';
import type {
  ByteRange,
  LastIo,
  MemberRecord,
  MetadataChange,
  PoolPolicy,
  PoolStore,
  PromiseRecord,
  StoreIdentity,
  StoreLife,
  VersionRecord,
} from '@rmr/rmr';
import { assert, type Disk, type DiskExtent, type DiskFeatures, DiskOperation, type DiskSink, type DiskSpace, Status } from '@rmr/runtime';

/**
 * A pool member's store: the metadata of a {@link BitmapStore} and the data area of its disk as the one
 * {@link PoolStore} that RMR-server works on. Keeps the order of W3: a data change goes to the disk only when every
 * `lastIo` entry that was recorded before it is in the kernel's hands.
 */
export class PoolStoreAdapter implements PoolStore {
  readonly identity: StoreIdentity;
  readonly features: DiskFeatures;
  careful = false;
  readonly #store: BitmapStore;
  readonly #disk: Disk;
  readonly #dataOffset: number;
  readonly #free: Change[] = [];
  /** Changes that wait for `submit`, and where need be for last_io; their tags beside them. */
  #held: Change[] = [];
  #heldTags: number[] = [];
  #waitsForLastIo = false;
  /** Changes that have not ended, held ones included. */
  #unfinished = 0;
  #whenFinished: (() => void) | null = null;

  constructor(store: BitmapStore, disk: Disk) {
    const { superblock } = store;
    this.#store = store;
    this.#disk = disk;
    this.#dataOffset = store.dataOffset;
    this.features = disk.features;
    this.identity = {
      storeUuid: superblock.storeUuid,
      poolUuid: superblock.poolUuid,
      poolName: superblock.poolName,
      memberId: superblock.memberId,
      sizeBytes: superblock.sizeBytes,
      chunkSizeBytes: superblock.chunkSizeBytes,
      queueDepth: superblock.queueDepth,
      createdZeroed: superblock.createdZeroed,
      ...(superblock.witness ? { witness: true } : {}),
    };
    store.onLastIoWritten = (status) => this.#onLastIoWritten(status);
  }

  /** The store underneath: maps and counters for status, and what the next layers need. */
  get bitmapStore(): BitmapStore {
    return this.#store;
  }

  get promise(): PromiseRecord | null {
    return this.#store.promise;
  }

  get version(): VersionRecord | null {
    return this.#store.version;
  }

  get members(): readonly MemberRecord[] {
    return this.#store.members;
  }

  get policy(): PoolPolicy {
    return this.#store.policy;
  }

  get age(): number {
    return this.#store.age;
  }

  get lives(): readonly StoreLife[] {
    return this.#store.lives;
  }

  get released(): boolean {
    return this.#store.released;
  }

  get dataAge(): number {
    return this.#store.dataAge;
  }

  get changedSinceAged(): boolean {
    return this.#store.changedSinceAged;
  }

  get flushedSinceAged(): boolean {
    return this.#store.flushedSinceAged;
  }

  get onDoubt(): () => void {
    return this.#store.onDoubt;
  }

  set onDoubt(listener: () => void) {
    this.#store.onDoubt = listener;
  }

  get volatileLost(): boolean {
    return this.#store.volatileLost;
  }

  get cacheDoubtful(): boolean {
    return this.#store.cacheDoubtful;
  }

  get failed(): boolean {
    return this.#store.failed;
  }

  read(offsetBytes: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    this.#disk.read(this.#place(offsetBytes, target.length), target, tag, sink);
  }

  write(offsetBytes: number, source: Uint8Array, tag: number, sink: DiskSink, through = false): void {
    this.#hold(DiskOperation.WRITE, this.#place(offsetBytes, source.length), source.length, source, tag, sink, through);
  }

  punch(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#hold(DiskOperation.PUNCH, this.#place(offsetBytes, lengthBytes), lengthBytes, NO_BYTES, tag, sink, through);
  }

  zero(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink, through = false): void {
    this.#hold(DiskOperation.ZERO, this.#place(offsetBytes, lengthBytes), lengthBytes, NO_BYTES, tag, sink, through);
  }

  get space(): DiskSpace | null {
    return this.#disk.space;
  }

  reserve(offsetBytes: number, lengthBytes: number, tag: number, sink: DiskSink): boolean {
    return this.#disk.reserve(this.#place(offsetBytes, lengthBytes), lengthBytes, tag, sink);
  }

  flush(tag: number, sink: DiskSink): void {
    this.#store.flush(tag, sink);
  }

  submit(): void {
    if (this.#held.length > 0 && !this.#waitsForLastIo) {
      // False also when the write has failed already: then the listener was not called, and the status says so.
      if (this.#store.submitLastIo()) this.#release();
      else if (this.#store.lastIoStatus !== Status.OK) this.#refuse(this.#store.lastIoStatus);
      else this.#waitsForLastIo = true;
    }
    this.#disk.submit();
  }

  extents(offsetBytes: number, lengthBytes: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    this.#disk.extents(this.#place(offsetBytes, lengthBytes), lengthBytes, done);
  }

  recordLastIo(ioUnit: number, writeSeq: number, offsetBytes: number, lengthBytes: number): void {
    this.#store.recordLastIo(ioUnit, writeSeq, offsetBytes, lengthBytes);
  }

  lastIo(): readonly LastIo[] {
    return this.#store.lastIo();
  }

  unresolvedWrites(offsetBytes: number, lengthBytes: number): readonly LastIo[] {
    return this.#store.unresolvedWrites(offsetBytes, lengthBytes);
  }

  prepareWrite(
    offsetBytes: number,
    lengthBytes: number,
    writeSeq: number,
    missingMemberIds: Uint8Array,
    missingCount: number,
    tag: number,
    sink: DiskSink,
  ): boolean {
    return this.#store.prepareWrite(offsetBytes, lengthBytes, writeSeq, missingMemberIds, missingCount, tag, sink);
  }

  setCompletedThrough(writeSeq: number): void {
    this.#store.setCompletedThrough(writeSeq);
  }

  intentRanges(): readonly ByteRange[] {
    return this.#store.intentRanges();
  }

  dirtyBytes(memberId: number): number {
    return this.#store.dirtyBytes(memberId);
  }

  dirtyMap(memberId: number): DirtyMap | null {
    return this.#store.dirtyMap(memberId);
  }

  mappedMemberIds(): readonly number[] {
    return this.#store.mappedMemberIds();
  }

  commit(change: MetadataChange, done: (status: number) => void): void {
    this.#store.commit(change, done);
  }

  close(done: (status: number) => void): void {
    assert(this.#whenFinished === null, 'pool store: closed once');
    this.submit();
    // The clean shutdown is claimed for every change: all must have ended before the flush that it rests on.
    this.#whenFinished = () => this.#store.close(done);
    if (this.#unfinished === 0) this.#whenFinished();
  }

  /** For changes: one has ended. */
  onChangeDone(change: Change): void {
    this.#free.push(change);
    this.#unfinished--;
    if (this.#unfinished === 0) this.#whenFinished?.();
  }

  /** Rechecks the invariants. */
  verify(): void {
    this.#store.verify();
    assert(this.#held.length === this.#heldTags.length, 'pool store: every held change has its tag');
    assert(this.#held.length <= this.#unfinished, 'pool store: held changes have not ended');
  }

  #place(offsetBytes: number, lengthBytes: number): number {
    assert(this.identity.witness !== true, 'pool store: a witness has no data');
    assert(
      offsetBytes >= 0 && lengthBytes >= 0 && offsetBytes + lengthBytes <= this.identity.sizeBytes,
      'pool store: IO lies within the device',
    );
    return this.#dataOffset + offsetBytes;
  }

  #hold(
    operation: DiskOperation,
    offsetBytes: number,
    lengthBytes: number,
    bytes: Uint8Array,
    tag: number,
    sink: DiskSink,
    through: boolean,
  ): void {
    assert(this.#whenFinished === null, 'pool store: no change while it closes');
    const change = this.#free.pop() ?? new Change(this);
    change.operation = operation;
    change.offsetBytes = offsetBytes;
    change.lengthBytes = lengthBytes;
    change.bytes = bytes;
    change.through = through;
    change.sink = sink;
    this.#held.push(change);
    this.#heldTags.push(tag);
    this.#unfinished++;
  }

  /** Queues what was held at the disk. */
  #release(): void {
    const held = this.#held;
    for (let i = 0; i < held.length; i++) {
      const change = held[i] as Change;
      const tag = this.#heldTags[i] as number;
      const { operation, offsetBytes, lengthBytes, through } = change;
      if (operation === DiskOperation.WRITE) this.#disk.write(offsetBytes, change.bytes, tag, change, through);
      else if (operation === DiskOperation.PUNCH) this.#disk.punch(offsetBytes, lengthBytes, tag, change, through);
      else this.#disk.zero(offsetBytes, lengthBytes, tag, change, through);
    }
    held.length = 0;
    this.#heldTags.length = 0;
  }

  /** last_io could not be written, so nothing may be. Sinks may make new changes: those wait for their own submit. */
  #refuse(status: number): void {
    const held = this.#held;
    const tags = this.#heldTags;
    this.#held = [];
    this.#heldTags = [];
    for (let i = 0; i < held.length; i++) (held[i] as Change).onDiskDone(tags[i] as number, status);
  }

  #onLastIoWritten(status: number): void {
    if (!this.#waitsForLastIo) return;
    this.#waitsForLastIo = false;
    if (status !== Status.OK) {
      this.#refuse(status);
      return;
    }
    this.#release();
    this.#disk.submit();
  }
}

const NO_BYTES = new Uint8Array(0);

/** A data change, from the call to its end. Used again and again. */
class Change implements DiskSink {
  operation: DiskOperation = DiskOperation.WRITE;
  offsetBytes = 0;
  lengthBytes = 0;
  bytes: Uint8Array = NO_BYTES;
  through = false;
  sink: DiskSink | null = null;
  readonly #owner: PoolStoreAdapter;

  constructor(owner: PoolStoreAdapter) {
    this.#owner = owner;
  }

  onDiskDone(tag: number, status: number): void {
    const { sink } = this;
    assert(sink !== null, 'pool store: a change ends once');
    this.bytes = NO_BYTES;
    this.sink = null;
    // Before anybody hears of it: a record that is under way was begun without it.
    this.#owner.bitmapStore.dataChanged();
    sink.onDiskDone(tag, status);
    this.#owner.onChangeDone(this);
  }
}
