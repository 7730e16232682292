import { DirtyMap } from '@rmr/dirty-map';
import { type DiskExtent, type DiskSink, Status } from '@rmr/runtime';
import type { ByteRange, DirtyChange, LastIo, MetadataChange, PoolStore, StoreIdentity } from '../pool-store.ts';
import { formatVersion } from '../version.ts';

/**
 * A store whose requests end when the test says so, and which notes what it is asked. Its dirty maps are real: they
 * change when a commit or a prepared write ends well.
 */
export class ScriptedStore implements PoolStore {
  /** All that it was asked, in order: `write 0+4096`, `commit clear 1:0-2 add 3:0-2`, `submit` and so on. */
  readonly calls: string[] = [];
  /** What has not ended, oldest first. */
  readonly held: HeldRequest[] = [];
  readonly identity: StoreIdentity;
  readonly features = { fastPunch: true, fastZero: true, holeBytes: 4096, extents: true, survivesProcessCrash: true };
  /** Whether regions are in the write intent already: then a write that misses nobody goes on at once. */
  prepared = true;
  /** Whether writes have to ask for space first. */
  scarce = false;
  space: PoolStore['space'] = null;
  promise: PoolStore['promise'] = null;
  version: PoolStore['version'] = null;
  members: PoolStore['members'] = [];
  policy: PoolStore['policy'] = NEW_POLICY;
  age = 1;
  lives: PoolStore['lives'];
  released = false;
  changedSinceAged = false;
  dataAge = 0;
  flushedSinceAged = false;
  volatileLost = false;
  cacheDoubtful = false;
  careful = false;
  onDoubt = (): void => {};
  readonly failed = false;
  /** What reads return; null: sevens. */
  content: Uint8Array | null = null;
  /** What lookups of extents return; null: one hole. */
  extentRuns: readonly DiskExtent[] | null = null;
  lastIoRanges: LastIo[] = [];
  intent: ByteRange[] = [];
  readonly #maps = new Map<number, DirtyMap>();

  constructor(identity: StoreIdentity) {
    this.identity = identity;
    this.lives = [{ lifeUuid: `f${identity.storeUuid.slice(1)}`, firstAge: 1, lastAge: null, openedAtMs: 0 }];
  }

  get chunkCount(): number {
    return Math.ceil(this.identity.sizeBytes / this.identity.chunkSizeBytes);
  }

  /** The member's map, made when it has none. */
  mapOf(memberId: number): DirtyMap {
    let map = this.#maps.get(memberId);
    if (map === undefined) {
      map = new DirtyMap(this.chunkCount);
      this.#maps.set(memberId, map);
    }
    return map;
  }

  /** Ends the oldest request that waits; it must be `what`. */
  end(what: string, status: number = Status.OK): void {
    const next = this.held.shift();
    if (next?.what !== what) throw new Error(`the store is to end "${what}", but its oldest request is "${next?.what ?? 'none'}"`);
    next.end(status);
  }

  /** Ends the oldest request whose text begins with `what`, be there older ones or not. */
  endOne(what: string, status: number = Status.OK): void {
    const index = this.held.findIndex((request) => request.what.startsWith(what));
    if (index < 0) throw new Error(`the store is to end "${what}", but holds only: ${this.held.map((request) => request.what).join('; ')}`);
    (this.held.splice(index, 1)[0] as HeldRequest).end(status);
  }

  /** Ends everything, also what comes of it. Returns what that was. */
  endAll(): string[] {
    const ended: string[] = [];
    for (let next = this.held.shift(); next !== undefined; next = this.held.shift()) {
      ended.push(next.what);
      next.end(Status.OK);
    }
    return ended;
  }

  read(offset: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    target.set(this.content === null ? new Uint8Array(target.length).fill(7) : this.content.subarray(offset, offset + target.length));
    this.#hold(`read ${offset}+${target.length}`, (status) => sink.onDiskDone(tag, status));
  }

  write(offset: number, source: Uint8Array, tag: number, sink: DiskSink, through = false): void {
    this.#hold(`write ${offset}+${source.length}${through ? ' through' : ''}`, (status) => this.#changed(tag, status, sink));
  }

  punch(offset: number, length: number, tag: number, sink: DiskSink, through = false): void {
    this.#hold(`punch ${offset}+${length}${through ? ' through' : ''}`, (status) => this.#changed(tag, status, sink));
  }

  zero(offset: number, length: number, tag: number, sink: DiskSink, through = false): void {
    this.#hold(`zero ${offset}+${length}${through ? ' through' : ''}`, (status) => this.#changed(tag, status, sink));
  }

  reserve(offset: number, length: number, tag: number, sink: DiskSink): boolean {
    if (!this.scarce) return true;
    this.#hold(`reserve ${offset}+${length}`, (status) => sink.onDiskDone(tag, status));
    return false;
  }

  flush(tag: number, sink: DiskSink): void {
    this.flushedSinceAged = true;
    this.#hold('flush', (status) => sink.onDiskDone(tag, status));
  }

  submit(): void {
    this.calls.push('submit');
  }

  extents(offset: number, length: number, done: (status: number, extents: readonly DiskExtent[]) => void): void {
    this.#hold(`extents ${offset}+${length}`, (status) => done(status, this.extentRuns ?? [{ lengthBytes: length, hole: true }]));
  }

  recordLastIo(ioUnit: number, writeSeq: number, offset: number, length: number): void {
    this.changedSinceAged = true;
    this.calls.push(`lastIo ${ioUnit} #${writeSeq} ${offset}+${length}`);
  }

  lastIo(): readonly LastIo[] {
    return this.lastIoRanges;
  }

  unresolvedWrites(offsetBytes: number, lengthBytes: number): readonly LastIo[] {
    return this.lastIoRanges.filter((io) => io.offsetBytes < offsetBytes + lengthBytes && offsetBytes < io.offsetBytes + io.lengthBytes);
  }

  prepareWrite(
    offsetBytes: number,
    lengthBytes: number,
    _writeSeq: number,
    missing: Uint8Array,
    count: number,
    tag: number,
    sink: DiskSink,
  ): boolean {
    this.changedSinceAged = true;
    const memberIds = [...missing.subarray(0, count)];
    const add = { memberIds, ranges: [{ offsetBytes, lengthBytes }] };
    const marked = memberIds.every((memberId) => this.mapOf(memberId).testAll(...this.#chunks(offsetBytes, lengthBytes)));
    if (this.prepared && marked) return true;
    this.#hold(`prepare ${offsetBytes}+${lengthBytes}${count === 0 ? '' : ` ${this.#describe('add', [add])}`}`, (status) => {
      if (status === Status.OK) this.#apply([add], true);
      sink.onDiskDone(tag, status);
    });
    return false;
  }

  setCompletedThrough(): void {}

  intentRanges(): readonly ByteRange[] {
    return this.intent;
  }

  dirtyBytes(memberId: number): number {
    const map = this.#maps.get(memberId);
    const { sizeBytes, chunkSizeBytes } = this.identity;
    if (map === undefined) return 0;
    const shortBy = map.test(this.chunkCount - 1) ? this.chunkCount * chunkSizeBytes - sizeBytes : 0;
    return map.dirtyCount * chunkSizeBytes - shortBy;
  }

  dirtyMap(memberId: number): DirtyMap | null {
    return this.#maps.get(memberId) ?? null;
  }

  mappedMemberIds(): readonly number[] {
    return [...this.#maps.keys()];
  }

  commit(change: MetadataChange, done: (status: number) => void): void {
    const parts = [
      change.promise === undefined ? '' : `promise ${change.promise.epoch}`,
      change.version === undefined ? '' : `version ${formatVersion(change.version)}`,
      (change.dirtyErase ?? []).length === 0 ? '' : `erase ${change.dirtyErase?.join('+')}`,
      ...(change.dirtyReplace ?? []).map(({ memberId, map }) => `replace ${memberId}:${runsOf(map)}`),
      this.#describe('clear', change.dirtyClear ?? []),
      this.#describe('add', change.dirtyAdd ?? []),
      change.reconciled === true ? 'reconciled' : '',
      change.volatileLost === true ? 'volatileLost' : '',
      change.released === true ? 'released' : '',
      change.ages === true ? 'ages' : '',
    ].filter((part) => part !== '');
    const flushedBefore = this.flushedSinceAged;
    if (this.changedSinceAged) this.dataAge = this.age + 1;
    this.changedSinceAged = false;
    this.flushedSinceAged = false;
    this.#hold(`commit ${parts.join(' ')}`, (status) => {
      if (status === Status.OK) {
        this.age++;
        this.released = change.version === undefined && (this.released || change.released === true);
        if (change.promise !== undefined) this.promise = change.promise;
        if (change.version !== undefined) this.version = change.version;
        if (change.members !== undefined) this.members = change.members;
        if (change.changeMembers !== undefined) this.members = change.changeMembers(this.members);
        if (change.policy !== undefined) this.policy = change.policy;
        if (change.volatileLost === true) this.volatileLost = true;
        if (change.reconciled === true) this.volatileLost = false;
        for (const memberId of change.dirtyErase ?? []) this.#maps.delete(memberId);
        for (const { memberId, map } of change.dirtyReplace ?? []) this.#maps.set(memberId, map);
        this.#apply(change.dirtyClear ?? [], false);
        this.#apply(change.dirtyAdd ?? [], true);
      } else {
        this.changedSinceAged = true;
        this.flushedSinceAged ||= flushedBefore;
      }
      done(status);
    });
  }

  close(done: (status: number) => void): void {
    this.#hold('close', done);
  }

  #hold(what: string, end: (status: number) => void): void {
    this.calls.push(what);
    this.held.push({ what, end });
  }

  #changed(tag: number, status: number, sink: DiskSink): void {
    this.changedSinceAged = true;
    sink.onDiskDone(tag, status);
  }

  #chunks(offsetBytes: number, lengthBytes: number): [first: number, count: number] {
    const { chunkSizeBytes } = this.identity;
    const first = Math.floor(offsetBytes / chunkSizeBytes);
    return [first, Math.floor((offsetBytes + lengthBytes - 1) / chunkSizeBytes) - first + 1];
  }

  #apply(changes: readonly DirtyChange[], dirty: boolean): void {
    for (const { memberIds, ranges } of changes) {
      for (const memberId of memberIds) {
        for (const { offsetBytes, lengthBytes } of ranges) {
          const [first, count] = this.#chunks(offsetBytes, lengthBytes);
          if (dirty) this.mapOf(memberId).set(first, count);
          else this.mapOf(memberId).clear(first, count);
        }
      }
    }
  }

  #describe(kind: string, changes: readonly DirtyChange[]): string {
    return changes
      .map(({ memberIds, ranges }) => {
        const runs = ranges.map(({ offsetBytes, lengthBytes }) => {
          const [first, count] = this.#chunks(offsetBytes, lengthBytes);
          return run(first, count);
        });
        return `${kind} ${memberIds.join('+')}:${runs.join(',')}`;
      })
      .join(' ');
  }
}

const NEW_POLICY = { quorum: 'none' as const, highestMemberId: 0, formerLineages: [] as readonly string[] };

/** One request to a {@link ScriptedStore} that has not ended. */
interface HeldRequest {
  readonly what: string;
  readonly end: (status: number) => void;
}

function run(first: number, count: number): string {
  return count === 1 ? `${first}` : `${first}-${first + count - 1}`;
}

function runsOf(map: DirtyMap): string {
  const runs = map.runs(16).map(({ first, count }) => run(first, count));
  return runs.length === 0 ? 'none' : runs.join(',');
}
