import { type Disk, type DiskExtent, randomBelow, SeededRandom, Status } from '@rmr/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** What every {@link Disk} does. `make` gives a new disk for each test. */
export function diskCompliance(name: string, make: () => Promise<DiskUnderTest>): void {
  describe(`disk compliance: ${name}`, () => {
    let subject: DiskUnderTest;
    let disk: Disk;
    let answers: Answers;

    beforeEach(async () => {
      subject = await make();
      disk = subject.disk;
      answers = new Answers();
    });

    afterEach(async () => {
      if (disk !== null) await close(disk);
      await subject.remove();
      expect(answers.answeredWhileQueueing).toBe(false);
    });

    const read = async (offsetBytes: number, lengthBytes: number): Promise<Uint8Array> => {
      const target = new Uint8Array(lengthBytes).fill(0xee);
      const tag = answers.ask((t) => disk.read(offsetBytes, target, t, answers));
      disk.submit();
      expect(await answers.of(tag)).toBe(Status.OK);
      return target;
    };
    const write = async (offsetBytes: number, source: Uint8Array): Promise<void> => {
      const tag = answers.ask((t) => disk.write(offsetBytes, source, t, answers));
      disk.submit();
      expect(await answers.of(tag)).toBe(Status.OK);
    };
    const run = async (ask: (tag: number) => void): Promise<number> => {
      const tag = answers.ask(ask);
      disk.submit();
      return answers.of(tag);
    };
    const extents = (offsetBytes: number, lengthBytes: number): Promise<readonly DiskExtent[]> =>
      new Promise((resolve, reject) => {
        disk.extents(offsetBytes, lengthBytes, (status, found) =>
          status === Status.OK ? resolve(found) : reject(new Error(`status ${status}`)),
        );
      });

    test('what was written is read, at any offset and length, and its neighbours are untouched', async () => {
      for (const [offset, length] of [
        [0, 512],
        [4096, 4096],
        [10_000, 1],
        [65_535, 131_074],
        [disk.sizeBytes - 512, 512],
      ] as const) {
        const source = pattern(length, offset);
        await write(offset, source);
        expect(same(await read(offset, length), source)).toBe(true);
      }
      expect(same(await read(8192, 1808), new Uint8Array(1808))).toBe(true);
      expect((await read(10_001, 1))[0]).toBe(0);
    });

    test('nothing is answered before submit, everything after it, each once', async () => {
      const tags: number[] = [];
      for (let i = 0; i < 200; i++) tags.push(answers.ask((t) => disk.write(i * 4096, pattern(4096, i), t, answers)));
      expect(answers.statuses.size).toBe(0);
      disk.submit();
      disk.submit();
      for (const tag of tags) expect(await answers.of(tag)).toBe(Status.OK);
      const targets = Array.from({ length: 200 }, () => new Uint8Array(4096));
      const reads = targets.map((target, i) => answers.ask((t) => disk.read(i * 4096, target, t, answers)));
      disk.submit();
      for (const tag of reads) expect(await answers.of(tag)).toBe(Status.OK);
      for (const [i, target] of targets.entries()) expect(same(target, pattern(4096, i))).toBe(true);
    });

    test('neighbours that are written or read in one go, in any order, end up where they belong', async () => {
      const random = new SeededRandom(3);
      const order = Array.from({ length: 64 }, (_, i) => i).sort(() => randomBelow(random, 3) - 1);
      const lengths = order.map((i) => 512 * (1 + (i % 8)));
      const tags = order.map((slot, i) => answers.ask((t) => disk.write(slot * 4096, pattern(lengths[i] as number, slot), t, answers)));
      disk.submit();
      for (const tag of tags) expect(await answers.of(tag)).toBe(Status.OK);
      for (const [i, slot] of order.entries()) {
        const expected = new Uint8Array(4096);
        expected.set(pattern(lengths[i] as number, slot));
        expect(same(await read(slot * 4096, 4096), expected)).toBe(true);
      }
    });

    test('views into the middle of larger memory are used as they are', async () => {
      const memory = new Uint8Array(3 * 4096);
      memory.set(pattern(4096, 9), 1000);
      await write(0, memory.subarray(1000, 5096));
      const target = new Uint8Array(3 * 4096).fill(1);
      expect(await run((t) => disk.read(0, target.subarray(5000, 9096), t, answers))).toBe(Status.OK);
      expect(same(target.subarray(5000, 9096), pattern(4096, 9))).toBe(true);
      expect([target[4999], target[9096]]).toEqual([1, 1]);
    });

    test('a request that is made while another is answered is not lost', async () => {
      let second = Number.NaN;
      const chain = {
        onDiskDone: (tag: number, status: number) => {
          answers.onDiskDone(tag, status);
          if (!Number.isNaN(second)) return;
          second = answers.ask((t) => disk.write(4096, pattern(4096, 2), t, answers));
          disk.submit();
        },
      };
      answers.ask((t) => disk.write(0, pattern(4096, 1), t, chain));
      answers.ask((t) => disk.write(8192, pattern(4096, 3), t, answers));
      disk.submit();
      await expect.poll(() => answers.statuses.size, { timeout: 30_000 }).toBe(3);
      for (let i = 0; i < 3; i++) expect(same(await read(i * 4096, 4096), pattern(4096, i + 1))).toBe(true);
    });

    test('ranges that leave the disk end with EINVAL, and the disk goes on', async () => {
      const bytes = new Uint8Array(4096);
      const { sizeBytes } = disk;
      expect(await run((t) => disk.read(sizeBytes - 4095, bytes, t, answers))).toBe(Status.EINVAL);
      expect(await run((t) => disk.write(sizeBytes, bytes, t, answers))).toBe(Status.EINVAL);
      expect(await run((t) => disk.write(-4096, bytes, t, answers))).toBe(Status.EINVAL);
      expect(await run((t) => disk.punch(sizeBytes - 4096, 8192, t, answers))).toBe(Status.EINVAL);
      expect(await run((t) => disk.zero(sizeBytes - 4096, 8192, t, answers))).toBe(Status.EINVAL);
      await write(0, pattern(4096, 1));
    });

    test.each(['punch', 'zero'] as const)('%s leaves zeroes exactly where it was asked to, aligned or not', async (kind) => {
      const source = pattern(3 * MIB, 5);
      for (const [offset, length] of [
        [0, 4096],
        [MIB, MIB],
        [4096 + 512, 9000],
        [2 * MIB + 100, 300],
        [MIB - 1, MIB + 2],
      ] as const) {
        await write(0, source);
        expect(await run((t) => disk[kind](offset, length, t, answers))).toBe(Status.OK);
        const expected = source.slice();
        expected.fill(0, offset, offset + length);
        expect(same(await read(0, 3 * MIB), expected)).toBe(true);
      }
    });

    test('a flush ends with 0, alone, beside writes and several at once', async () => {
      expect(await run((t) => disk.flush(t, answers))).toBe(Status.OK);
      await write(0, pattern(MIB, 1));
      const tags = [1, 2, 3].map(() => answers.ask((t) => disk.flush(t, answers)));
      tags.push(answers.ask((t) => disk.write(MIB, pattern(MIB, 2), t, answers)));
      disk.submit();
      for (const tag of tags) expect(await answers.of(tag)).toBe(Status.OK);
    });

    test('what was written and flushed is there after closing and opening again', async () => {
      await write(12_345, pattern(70_000, 4));
      expect(await run((t) => disk.flush(t, answers))).toBe(Status.OK);
      const { sizeBytes } = disk;
      await close(disk);
      disk = await subject.reopen();
      expect(disk.sizeBytes).toBe(sizeBytes);
      expect(same(await read(12_345, 70_000), pattern(70_000, 4))).toBe(true);
    });

    test('what is written through is read as anything else is, aligned or not, and is there after a flush', async () => {
      const expected = pattern(4 * MIB, 11);
      await write(0, expected);
      for (const [offset, length] of [
        [MIB, 2 * MIB],
        [4096, 512],
        [10_000, 70_001],
        [512, 512],
      ] as const) {
        const source = pattern(length, offset);
        expect(await run((t) => disk.write(offset, source, t, answers, true))).toBe(Status.OK);
        expected.set(source, offset);
      }
      expect(await run((t) => disk.punch(2 * MIB, MIB + 100, t, answers, true))).toBe(Status.OK);
      expect(await run((t) => disk.zero(300_000, 8192, t, answers, true))).toBe(Status.OK);
      expected.fill(0, 2 * MIB, 3 * MIB + 100).fill(0, 300_000, 308_192);
      expect(same(await read(0, 4 * MIB), expected)).toBe(true);
      // Neighbours in one turn, of which some go through.
      const tags = [1, 2, 3, 4].map((i) => answers.ask((t) => disk.write(i * 4096, pattern(4096, i), t, answers, i % 2 === 0)));
      disk.submit();
      for (const tag of tags) expect(await answers.of(tag)).toBe(Status.OK);
      for (const i of [1, 2, 3, 4]) expected.set(pattern(4096, i), i * 4096);
      expect(await run((t) => disk.write(disk.sizeBytes, expected.subarray(0, 512), t, answers, true))).toBe(Status.EINVAL);
      expect(await run((t) => disk.flush(t, answers))).toBe(Status.OK);
      await close(disk);
      disk = await subject.reopen();
      expect(same(await read(0, 4 * MIB), expected)).toBe(true);
    });

    test('closing waits for what is in flight', async () => {
      const tags = Array.from({ length: 50 }, (_, i) => answers.ask((t) => disk.write(i * 65_536, pattern(65_536, i), t, answers)));
      tags.push(answers.ask((t) => disk.flush(t, answers)));
      await close(disk);
      for (const tag of tags) expect(answers.statuses.get(tag)).toBe(Status.OK);
      disk = await subject.reopen();
    });

    test('extents cover the range exactly, and what they call a hole reads as zeroes', async () => {
      await write(MIB, pattern(MIB, 1));
      await write(4 * MIB + 8192, pattern(4096, 2));
      await write(0, pattern(4096, 3));
      expect(await run((t) => disk.punch(MIB + 262_144, 262_144, t, answers))).toBe(Status.OK);
      for (const [offset, length] of [
        [0, disk.sizeBytes],
        [1000, 3 * MIB],
        [MIB + 1, 1],
        [5 * MIB, 0],
      ] as const) {
        const found = await extents(offset, length);
        expect(found.reduce((sum, extent) => sum + extent.lengthBytes, 0)).toBe(length);
        let at = offset;
        for (const extent of found) {
          expect(extent.lengthBytes).toBeGreaterThan(0);
          if (extent.hole) expect((await read(at, extent.lengthBytes)).every((byte) => byte === 0)).toBe(true);
          at += extent.lengthBytes;
        }
      }
      if (!disk.features.extents) expect(await extents(0, MIB)).toEqual([{ lengthBytes: MIB, hole: false }]);
      else expect((await extents(0, disk.sizeBytes)).some((extent) => extent.hole)).toBe(true);
      await expect(extents(disk.sizeBytes - 1, 2)).rejects.toThrow(`status ${Status.EINVAL}`);
    });

    test('random requests, several at a time, leave what a plain array has', async () => {
      const random = new SeededRandom(17);
      const size = 2 * MIB;
      const model = new Uint8Array(size);
      for (let round = 0; round < 40; round++) {
        const tags: number[] = [];
        // Requests of one round don't overlap: they have no order.
        const lane = size / 8;
        for (let i = 0; i < 8; i++) {
          const offset = i * lane + randomBelow(random, lane);
          const length = Math.min(1 + randomBelow(random, 100_000), (i + 1) * lane - offset);
          const kind = randomBelow(random, 4);
          if (kind < 2) {
            const source = pattern(length, random.u32());
            model.set(source, offset);
            tags.push(answers.ask((t) => disk.write(offset, source, t, answers)));
          } else if (kind === 2) {
            model.fill(0, offset, offset + length);
            tags.push(answers.ask((t) => disk.punch(offset, length, t, answers)));
          } else {
            model.fill(0, offset, offset + length);
            tags.push(answers.ask((t) => disk.zero(offset, length, t, answers)));
          }
        }
        disk.submit();
        for (const tag of tags) expect(await answers.of(tag)).toBe(Status.OK);
      }
      expect(same(await read(0, size), model)).toBe(true);
    });
  });
}

/** A disk under test. */
export interface DiskUnderTest {
  /** At least 8 MiB, reading as zeroes. */
  readonly disk: Disk;
  /** Opens what the disk was once more, after `disk` was closed. */
  readonly reopen: () => Promise<Disk>;
  /** Removes it; every disk on it is closed. */
  readonly remove: () => Promise<void>;
}

const MIB = 1024 * 1024;

/** Collects outcomes; fails on a second answer. */
class Answers {
  readonly statuses = new Map<number, number>();
  #nextTag = 1;
  /** True while a call to the disk is on the stack in which no answer may come. */
  inQueueing = false;
  answeredWhileQueueing = false;

  readonly onDiskDone = (tag: number, status: number): void => {
    if (this.inQueueing) this.answeredWhileQueueing = true;
    if (this.statuses.has(tag)) throw new Error(`request ${tag} was answered twice`);
    this.statuses.set(tag, status);
  };

  /** Makes a request with a new tag. */
  ask(make: (tag: number) => void): number {
    const tag = this.#nextTag++;
    this.inQueueing = true;
    make(tag);
    this.inQueueing = false;
    return tag;
  }

  async of(tag: number): Promise<number> {
    await expect.poll(() => this.statuses.has(tag), { timeout: 30_000, interval: 1 }).toBe(true);
    return this.statuses.get(tag) as number;
  }
}

function close(disk: Disk): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.close((status) => (status === Status.OK ? resolve() : reject(new Error(`closing ended with status ${status}`))));
  });
}

function pattern(length: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed + 1);
  const bytes = new Uint8Array(length);
  const step = 1 + (random.u32() % 250);
  for (let i = 0, value = random.u32() & 0xff; i < length; i++, value = (value * step + 7) & 0xff) bytes[i] = value;
  if (length > 3) bytes[length - 1] = 0x5a;
  return bytes;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
