import { DirtyMap } from '@rmr/dirty-map';
import { assert, OperationError, type Random, randomBelow, SeededRandom, Status } from '@rmr/runtime';
import { type MemoryDisk, VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
import { INTENT_IDLE_TICKS } from '../constants.ts';
import { BOOT_1, BOOT_2, createdDisk, HeldRequests, nextLife, open, SMALL_STORE, testUuid, WALL_MS } from '../testing/store-rig.ts';
import type { ByteRange, MemberRecord, MetadataChange, PoolPolicy } from '../types.ts';
import { BitmapStore } from './bitmap-store.ts';
import { openStore } from './open-store.ts';

const { sizeBytes, chunkSizeBytes } = SMALL_STORE;
const AT_ONCE = (_request: unknown, end: () => void): void => end();
const CHUNKS = sizeBytes / chunkSizeBytes;
/** Members whose maps are changed by commits only, so that every state has an exact expectation. */
const COMMIT_MEMBERS = [1, 2, 3];
/** Member whose map is changed by writes only. */
const WRITE_MEMBER = 9;
/** Member that comes and goes. */
const GUEST = 5;

/** What a store begins with. */
interface Base {
  readonly epoch: number;
  readonly writeSeq: number;
  /** What was told of its former lives. */
  readonly marks: ReadonlyMap<string, number>;
}

/** What must be on the disk after a number of commits. */
interface Expectation {
  readonly summary: string;
}

/** A store with a model of what it was asked to keep. */
class Subject {
  readonly world = new VirtualWorld(1);
  readonly held: HeldRequests;
  readonly disk: MemoryDisk;
  store: BitmapStore;
  readonly #random: Random;
  readonly #model = new Map<number, DirtyMap>();
  #epoch: number;
  #seq = 0;
  /** Expectations after 0, 1, 2 … commits. */
  readonly expectations: Expectation[] = [];
  committed = 0;
  /** The highest age that anybody could have read. */
  ageShown = 0;
  /** Per life in which a promise was committed, and so somebody told: the highest age that it could have been told. */
  readonly marks: Map<string, number>;
  #told = false;
  /** Chunks that writes have asked to be dirty, and those of which they were told. */
  readonly asked = new DirtyMap(CHUNKS);
  readonly promised = new DirtyMap(CHUNKS);
  /** Writes in flight or resolved but perhaps not flushed: sequence → first and last byte. */
  readonly unsafe = new Map<number, ByteRange>();
  /** Writes that may have touched data. */
  readonly #ready = new Set<number>();
  #writeSeq: number;
  #completedThrough = 0;
  #requests = 0;

  constructor(disk: MemoryDisk, seed: number, base: Base) {
    this.marks = new Map(base.marks);
    this.#random = new SeededRandom(seed);
    this.held = new HeldRequests(seed + 1);
    this.disk = disk.copy({
      schedule: (request, end) => {
        // Writes that are resolved when a flush begins are safe when it has ended.
        const through = this.#completedThrough;
        this.held.schedule(request, () => {
          if (request.kind === 'flush') for (const seq of [...this.unsafe.keys()]) if (seq <= through) this.unsafe.delete(seq);
          end();
        });
      },
    });
    this.#epoch = base.epoch;
    this.#writeSeq = base.writeSeq;
    this.#completedThrough = base.writeSeq;
    let result: BitmapStore | OperationError | null = null;
    openStore(this.disk, { label: 'test disk', world: this.world, bootId: BOOT_1, lifeUuid: nextLife(), wallMs: WALL_MS }, (opened) => {
      result = opened;
    });
    this.world.run(0);
    while (this.held.endOne()) this.world.run(0);
    if (!((result as unknown) instanceof BitmapStore)) throw result ?? new Error('opening did not end');
    this.store = result as unknown as BitmapStore;
    for (const memberId of [...COMMIT_MEMBERS, GUEST]) {
      this.#model.set(memberId, this.store.dirtyMap(memberId)?.clone() ?? new DirtyMap(CHUNKS));
    }
    const known = this.store.dirtyMap(WRITE_MEMBER);
    known?.forEachRun((first, count) => {
      this.asked.set(first, count);
      this.promised.set(first, count);
    });
    this.#look();
    this.#released = this.store.released;
    this.#promise = this.store.promise?.epoch ?? 0;
    this.#version = this.store.version?.seq ?? 0;
    this.#members = describeMembers(this.store.members, this.store.policy);
    this.expectations.push({ summary: summarize(this.store) });
  }

  get requests(): number {
    return this.#requests;
  }

  /** Does one random thing. */
  act(): void {
    const choice = randomBelow(this.#random, 20);
    if (choice < 8) this.#commit(this.#change());
    else if (choice < 16) this.#write();
    else if (choice === 16) this.store.flush(0, { onDiskDone() {} });
    else if (choice === 17) this.#complete();
    else if (choice === 18) this.#commit(this.#hugeChange());
    else for (let tick = 0; tick < INTENT_IDLE_TICKS; tick++) this.store.tick();
    this.world.run(0);
  }

  /** Lets one disk request end. */
  step(): boolean {
    const stepped = this.held.endOne();
    this.#requests++;
    this.world.run(0);
    this.#look();
    return stepped;
  }

  /** Somebody may be told now how old the store is. */
  #look(): void {
    const { age, lives } = this.store;
    assert(age >= this.ageShown, 'the age never goes back');
    this.ageShown = age;
    if (this.#told) this.marks.set(lives.at(-1)?.lifeUuid ?? '', age);
  }

  #commit(change: MetadataChange): void {
    this.#applyToModel(change);
    this.expectations.push({ summary: this.#summary() });
    const index = this.expectations.length - 1;
    this.store.commit(change, (status) => {
      assert(status === Status.OK, 'crash test: nothing fails here');
      this.committed = index;
      if (change.promise !== undefined) this.#told = true;
    });
  }

  #ranges(count: number): ByteRange[] {
    const ranges: ByteRange[] = [];
    for (let i = 0; i < count; i++) {
      const first = randomBelow(this.#random, CHUNKS);
      const length = 1 + randomBelow(this.#random, randomBelow(this.#random, 8) === 0 ? CHUNKS - first : Math.min(20, CHUNKS - first));
      ranges.push({ offsetBytes: first * chunkSizeBytes, lengthBytes: length * chunkSizeBytes });
    }
    return ranges;
  }

  #change(): MetadataChange {
    const choice = randomBelow(this.#random, 8);
    const [mine, other, third] = COMMIT_MEMBERS as [number, number, number];
    if (choice === 0)
      return { promise: { epoch: ++this.#epoch, clientInstance: testUuid(this.#epoch), clientName: `client ${this.#epoch}` } };
    if (choice === 1) {
      this.#seq++;
      return {
        version: {
          lineageUuid: testUuid(3),
          epoch: this.#epoch,
          seq: this.#seq,
          inSync: [{ memberId: 1, storeUuid: testUuid(1) }],
          horizon: this.#seq,
        },
        dirtyAdd: [{ memberIds: [other, third], ranges: this.#ranges(3) }],
      };
    }
    if (choice === 2) {
      const members = Array.from({ length: randomBelow(this.#random, 8) }, (_, memberId) => ({
        memberId,
        storeUuid: testUuid(memberId),
        name: 'n'.repeat(200),
        addresses: ['tcp://10.0.0.1:7000', 'tcp://10.0.0.2:7000'],
        maintenance: randomBelow(this.#random, 2) === 1,
      }));
      const formerLineages = Array.from({ length: randomBelow(this.#random, 17) }, (_, i) => testUuid(i));
      const quorum = members.length % 2 === 0 ? 'none' : 'majority';
      return { members, policy: { quorum, highestMemberId: members.length, formerLineages } };
    }
    if (choice === 3)
      return randomBelow(this.#random, 2) === 0 ? { dirtyErase: [GUEST] } : { dirtyAdd: [{ memberIds: [GUEST], ranges: this.#ranges(1) }] };
    if (choice === 4) return { ages: true };
    if (choice === 5) return { released: true, ages: randomBelow(this.#random, 2) === 0 };
    // Clear mine and set the others': one commit (W4).
    const ranges = this.#ranges(2);
    return { dirtyClear: [{ memberIds: [mine], ranges }], dirtyAdd: [{ memberIds: [other, third], ranges }] };
  }

  /** One that does not fit the journal: maps go to their spare sides. */
  #hugeChange(): MetadataChange {
    if (randomBelow(this.#random, 2) === 0) {
      const map = new DirtyMap(CHUNKS);
      for (const range of this.#ranges(50)) map.set(range.offsetBytes / chunkSizeBytes, range.lengthBytes / chunkSizeBytes);
      this.#seq++;
      return {
        dirtyReplace: [{ memberId: 2, map }],
        version: { lineageUuid: testUuid(3), epoch: this.#epoch, seq: this.#seq, inSync: [], horizon: 0 },
      };
    }
    const ranges: ByteRange[] = [];
    for (let chunk = randomBelow(this.#random, 2); chunk < 10_000; chunk += 2)
      ranges.push({ offsetBytes: chunk * chunkSizeBytes, lengthBytes: chunkSizeBytes });
    return { dirtyClear: [{ memberIds: [1], ranges }], dirtyAdd: [{ memberIds: [3], ranges }] };
  }

  #applyToModel(change: MetadataChange): void {
    for (const memberId of change.dirtyErase ?? []) this.#model.get(memberId)?.reset();
    for (const { memberId, map } of change.dirtyReplace ?? []) this.#model.set(memberId, map.clone());
    for (const { memberIds, ranges } of change.dirtyClear ?? []) {
      for (const id of memberIds)
        for (const r of ranges) this.#model.get(id)?.clear(r.offsetBytes / chunkSizeBytes, r.lengthBytes / chunkSizeBytes);
    }
    for (const { memberIds, ranges } of change.dirtyAdd ?? []) {
      for (const id of memberIds)
        for (const r of ranges) this.#model.get(id)?.set(r.offsetBytes / chunkSizeBytes, r.lengthBytes / chunkSizeBytes);
    }
    if (change.promise !== undefined) this.#promise = change.promise.epoch;
    if (change.version !== undefined) this.#version = change.version.seq;
    if (change.version !== undefined || change.released === true) this.#released = change.version === undefined;
    if (change.members !== undefined && change.policy !== undefined) this.#members = describeMembers(change.members, change.policy);
  }

  #promise = 0;
  #version = 0;
  #released = false;
  #members = describeMembers([], { quorum: 'none', highestMemberId: 0, formerLineages: [] });

  #summary(): string {
    const maps = [...COMMIT_MEMBERS, GUEST].map((id) => this.#model.get(id)?.digest());
    return [this.#promise, this.#version, this.#released, this.#members, ...maps].join(' ');
  }

  #write(): void {
    const writeSeq = ++this.#writeSeq;
    const offsetBytes = randomBelow(this.#random, sizeBytes / 512 - 64) * 512;
    const range = { offsetBytes, lengthBytes: 512 * (1 + randomBelow(this.#random, 64)) };
    const first = Math.floor(offsetBytes / chunkSizeBytes);
    const count = Math.floor((offsetBytes + range.lengthBytes - 1) / chunkSizeBytes) - first + 1;
    this.asked.set(first, count);
    const missing = Uint8Array.of(WRITE_MEMBER);
    const ready = (): void => {
      this.promised.set(first, count);
      this.unsafe.set(writeSeq, range);
      this.#ready.add(writeSeq);
    };
    const sink = {
      onDiskDone: (_tag: number, status: number) => {
        assert(status === Status.OK, 'crash test: nothing fails here');
        ready();
      },
    };
    if (this.store.prepareWrite(offsetBytes, range.lengthBytes, writeSeq, missing, 1, 1, sink)) ready();
    this.store.recordLastIo(writeSeq % SMALL_STORE.queueDepth, writeSeq, offsetBytes, range.lengthBytes);
    this.store.submitLastIo();
  }

  /** Every write up to the first that still waits is resolved on all legs. */
  #complete(): void {
    while (this.#ready.delete(this.#completedThrough + 1)) this.#completedThrough++;
    this.store.setCompletedThrough(this.#completedThrough);
    this.store.flush(1, { onDiskDone() {} });
  }

  /** Checks a store that was opened after a crash at this moment. */
  check(store: BitmapStore): void {
    store.verify();
    const found = summarize(store);
    const possible = this.expectations.slice(this.committed).map((expectation) => expectation.summary);
    if (!possible.includes(found)) throw new Error(`found ${found}, which is none of\n${possible.join('\n')}`);
    assert(store.age > this.ageShown, 'the age is above all that was told: the opening has raised it');
    for (const [lifeUuid, age] of this.marks) {
      const life = store.lives.find((known) => known.lifeUuid === lifeUuid);
      assert(life !== undefined, 'a life that somebody was told of is remembered');
      assert(life.firstAge <= age && life.lastAge !== null && age <= life.lastAge, 'a mark that was told lies within its life');
    }
    const map = store.dirtyMap(WRITE_MEMBER) ?? new DirtyMap(CHUNKS);
    this.promised.forEachRun((first, count) => assert(map.testAll(first, count), 'I6: a chunk that was promised to be dirty is dirty'));
    map.forEachRun((first, count) => assert(this.asked.testAll(first, count), 'a chunk that nobody made dirty is clean'));
    const intents = store.intentRanges();
    for (const range of this.unsafe.values()) {
      assert(covered(intents, range), 'W7: a write that may be lost is in the write intent');
    }
  }
}

function covered(ranges: readonly ByteRange[], range: ByteRange): boolean {
  return ranges.some((r) => r.offsetBytes <= range.offsetBytes && r.offsetBytes + r.lengthBytes >= range.offsetBytes + range.lengthBytes);
}

function describeMembers(members: readonly MemberRecord[], policy: PoolPolicy): string {
  return `${members.map((member) => (member.maintenance === true ? 'M' : '-')).join('')}/${policy.quorum}/${policy.highestMemberId}/${policy.formerLineages.length}`;
}

function summarize(store: BitmapStore): string {
  const clean = new DirtyMap(CHUNKS).digest();
  const maps = [...COMMIT_MEMBERS, GUEST].map((memberId) => store.dirtyMap(memberId)?.digest() ?? clean);
  return [store.promise?.epoch ?? 0, store.version?.seq ?? 0, store.released, describeMembers(store.members, store.policy), ...maps].join(
    ' ',
  );
}

function openImage(image: MemoryDisk, bootId: string): BitmapStore {
  const store = open(image, new VirtualWorld(1), bootId);
  if (store instanceof OperationError) throw store;
  return store;
}

/** The disk after the store on it was opened, and power failed meanwhile. */
function crashWhileOpening(disk: MemoryDisk, random: Random): MemoryDisk {
  const held = new HeldRequests(random.u32());
  const copy = disk.copy({ schedule: held.schedule });
  const world = new VirtualWorld(1);
  openStore(copy, { label: 'test disk', world, bootId: BOOT_2, lifeUuid: nextLife(), wallMs: WALL_MS }, () => {});
  world.run(0);
  for (let left = randomBelow(random, 20); left > 0 && held.endOne(); left--) world.run(0);
  return copy.crashImage(random);
}

interface Totals {
  crashes: number;
  requests: number;
  checkpoints: number;
}

function runSeed(seed: number, totals: Totals): void {
  const random = new SeededRandom(seed * 7919);
  let disk = createdDisk();
  let base: Base = { epoch: 1, writeSeq: 0, marks: new Map() };
  for (let life = 0; life < 3; life++) {
    const subject = new Subject(disk, seed * 100 + life, base);
    for (let round = 0; round < 40; round++) {
      const actions = randomBelow(random, 4);
      for (let i = 0; i < actions; i++) subject.act();
      const steps = randomBelow(random, 4);
      for (let i = 0; i < steps; i++) {
        if (!subject.step()) break;
        const image = subject.disk.crashImage(random);
        totals.crashes++;
        if (randomBelow(random, 8) > 0) {
          subject.check(openImage(image, BOOT_2));
          continue;
        }
        // Power fails again while the store is being opened.
        subject.check(openImage(crashWhileOpening(image, random), BOOT_2));
        totals.crashes++;
      }
    }
    totals.requests += subject.requests;
    totals.checkpoints += subject.store.counters.checkpoints;
    subject.store.verify();
    base = { epoch: 1000 * (life + 1), writeSeq: 100_000 * (life + 1), marks: subject.marks };
    // The process dies, the page cache stays: what was not flushed is read by the next one, and may still be lost.
    subject.disk.abandon();
    disk = subject.disk;
    subject.check(openImage(disk.copy({ schedule: AT_ONCE }), BOOT_1));
    for (let i = 0; i < 10; i++) {
      subject.check(openImage(crashWhileOpening(disk, random), BOOT_2));
      totals.crashes++;
    }
  }
}

test('no crash point leaves a store that can not be opened, half a commit, or less than was acknowledged', () => {
  const totals: Totals = { crashes: 0, requests: 0, checkpoints: 0 };
  for (let seed = 1; seed <= Number(process.env['CRASH_SEEDS'] ?? 16); seed++) {
    try {
      runSeed(seed, totals);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }
  expect(totals.crashes).toBeGreaterThan(2000);
  expect(totals.checkpoints).toBeGreaterThan(0);
  if (process.env['CRASH_VERBOSE'] !== undefined) process.stderr.write(`${JSON.stringify(totals)}\n`);
}, 120_000);
