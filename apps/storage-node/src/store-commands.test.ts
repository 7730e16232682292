import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileDisk, openStore } from '@rmr/brmr/node';
import { OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { createSystemWorld } from '@rmr/runtime/node';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { buildProgram } from './cli.ts';

const POOL_UUID = '7b3f8a52-9c1d-4e6f-8a2b-0123456789ab';
const DEVICE_BYTES = 8 * 1024 * 1024;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-store-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs `store …` and returns what it printed. */
async function store(...args: string[]): Promise<string> {
  let output = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    output += String(text);
    return true;
  });
  try {
    await buildProgram().parseAsync(['node', 'storage-node', 'store', ...args]);
  } finally {
    write.mockRestore();
  }
  return output;
}

function create(path: string, ...more: string[]): Promise<string> {
  return store(
    ...['create', '--path', path, '--size', String(DEVICE_BYTES), '--pool-name', 'demo', '--pool-uuid', POOL_UUID, '--member-id', '1'],
    ...more,
  );
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'accepted',
    (error: unknown) => (error instanceof OperationError ? `${error.code} ${error.message}` : `not an operating failure: ${error}`),
  );
}

interface Inspection {
  readonly storeUuid: string;
  readonly dataOffset: number;
  readonly createdZeroed: boolean;
}

async function inspection(path: string): Promise<Inspection> {
  return JSON.parse(await store('inspect', '--path', path, '--output', 'json')) as Inspection;
}

describe('store create', () => {
  test('makes a sparse file that inspect recognises', async () => {
    const path = join(folder, 'a');
    expect(await create(path)).toMatch(
      /^created store [0-9a-f-]{36} for member 1 of pool "demo" in .*: a device of 8 MiB, chunks of 128 KiB\n/,
    );
    expect(statSync(path).blocks * 512).toBeLessThan(DEVICE_BYTES);
    expect(await inspection(path)).toMatchObject({
      poolUuid: POOL_UUID,
      poolName: 'demo',
      memberId: 1,
      sizeBytes: DEVICE_BYTES,
      chunkSizeBytes: 131_072,
      queueDepth: 128,
      createdZeroed: true,
    });
  });

  test('every store has a UUID of its own', async () => {
    await create(join(folder, 'a'));
    await create(join(folder, 'b'));
    expect((await inspection(join(folder, 'a'))).storeUuid).not.toBe((await inspection(join(folder, 'b'))).storeUuid);
  });

  test('refuses a store that is there, and something else that is there, unless forced', async () => {
    const path = join(folder, 'a');
    await create(path);
    expect(await refusal(create(path))).toMatch(
      /^ALREADY_EXISTS .* already holds the store [0-9a-f-]{36} of member 1 of pool "demo" \(7b3f8a52-[^)]*\), which has never been in service/,
    );
    const { storeUuid } = await inspection(path);
    await create(path, '--force');
    expect((await inspection(path)).storeUuid).not.toBe(storeUuid);
    const other = join(folder, 'other');
    writeFileSync(other, 'x'.repeat(32 * 1024 * 1024));
    expect(await refusal(create(other))).toMatch(/^CONFLICT .* is not empty: there is data at offset 0\. .* find out first what it is/);
  });

  test('forced over old data it reads as zeroes, and keeps the data when told to', async () => {
    const zeroed = join(folder, 'zeroed');
    writeFileSync(zeroed, 'x'.repeat(32 * 1024 * 1024));
    await create(zeroed, '--force');
    expect((await store('checksum', '--path', zeroed)).slice(0, 64)).toBe(
      createHash('sha256').update(new Uint8Array(DEVICE_BYTES)).digest('hex'),
    );
    const kept = join(folder, 'kept');
    writeFileSync(kept, 'x'.repeat(32 * 1024 * 1024));
    expect(await create(kept, '--force', '--keep-data')).toMatch(
      /\nMember 1 keeps the data that was there\. In the new pool "demo" all other members are copied from it, .* No second member of the pool may keep its data\.\n/,
    );
    expect(await inspection(kept)).toMatchObject({ createdZeroed: false });
    expect((await store('checksum', '--path', kept)).slice(0, 64)).toBe(
      createHash('sha256').update('x'.repeat(DEVICE_BYTES)).digest('hex'),
    );
  });

  test('says what has to follow: no pool takes a store in by itself', async () => {
    const output = await create(join(folder, 'a'));
    expect(output).toContain(
      'No pool takes it in by itself:\n- for a new pool: once all of its stores are there, type "client-node create --pool demo";',
    );
    expect(output).toContain(
      'has lost member 1\'s store: once the storage node has opened this one, type "client-node replace-store --pool demo --member 1".',
    );
    expect(output).not.toContain('keeps the data');
  });

  test.each([
    ['is not there', () => {}],
    ['is empty', (path: string) => writeFileSync(path, '')],
  ])('refuses to keep the data of a file that %s: the path is wrong', async (_what, prepare) => {
    const path = join(folder, 'a');
    prepare(path);
    expect(await refusal(create(path, '--keep-data'))).toMatch(
      /^NOT_FOUND --keep-data: .* has no data that could be kept; correct the path/,
    );
    expect(existsSync(path) ? statSync(path).size : 0).toBe(0);
  });

  test('says in its help what is destroyed, and that one member of a pool at most keeps its data', () => {
    const help = buildProgram()
      .commands.find((command) => command.name() === 'store')
      ?.commands.find((command) => command.name() === 'create')
      ?.helpInformation()
      .replaceAll(/\s+/g, ' ');
    expect(help).toContain('A new store never brings data back');
    expect(help).toContain(
      'At most one member of a new pool may keep its data: all others are copied from it, and their own data is overwritten',
    );
    expect(help).toContain('destroy whatever is there, the store of a pool too');
  });

  test('refuses a store that a daemon has open, even when forced', async () => {
    const path = join(folder, 'a');
    await create(path);
    const disk = new FileDisk({ path });
    expect(await refusal(create(path, '--force'))).toMatch(/^STORE_LOCKED .*is already open/);
    expect(await store('inspect', '--path', path)).toContain('demo');
    expect(await store('checksum', '--path', path)).toContain(path);
    await new Promise((resolve) => disk.close(resolve));
  });

  test('makes the store of a witness: metadata only, which has no data to keep and no checksum', async () => {
    const path = join(folder, 'witness');
    expect(await create(path, '--witness')).toMatch(
      /^created witness store [0-9a-f-]{36} for member 1 of pool "demo" in .*: a device of 8 MiB/,
    );
    const { dataOffset } = await inspection(path);
    expect(statSync(path).size).toBe(dataOffset);
    expect(await inspection(path)).toMatchObject({ witness: true, sizeBytes: DEVICE_BYTES });
    expect(await store('inspect', '--path', path)).toMatch(/^device +8 MiB \(8388608 bytes\) on other members: this is a witness$/m);
    expect(await refusal(store('checksum', '--path', path))).toMatch(/^UNSUPPORTED .* is the store of a witness/);
    const other = join(folder, 'other');
    expect(await refusal(create(other, '--witness', '--keep-data'))).toMatch(/^INVALID_ARGUMENT .* a witness has no data area/);
    expect(existsSync(other)).toBe(false);
  });

  test('refuses a file that is too small', async () => {
    const path = join(folder, 'small');
    writeFileSync(path, new Uint8Array(1024 * 1024));
    expect(await refusal(create(path))).toMatch(/^STORE_TOO_SMALL /);
    expect(statSync(path).size).toBe(1024 * 1024);
  });

  test.each([
    [['--size', '1000'], /^INVALID_ARGUMENT .*device size is 1000/],
    [['--size', 'big'], /^INVALID_ARGUMENT --size: "big" is not a size/],
    [['--chunk-size', '100KiB'], /^INVALID_ARGUMENT /],
    [['--queue-depth', '0'], /^INVALID_ARGUMENT /],
    [['--queue-depth', '1025'], /^INVALID_ARGUMENT --queue-depth 1025: it must be from 1 to 1024$/],
    [['--queue-depth', '1e3'], /^INVALID_ARGUMENT --queue-depth "1e3"/],
    [['--member-id', '256'], /^INVALID_ARGUMENT /],
    [['--member-id', '-1'], /^INVALID_ARGUMENT --member-id "-1"/],
    [['--pool-uuid', 'pool'], /^INVALID_ARGUMENT --pool-uuid "pool" is not a UUID/],
    [['--pool-name', 'x'.repeat(300)], /^INVALID_ARGUMENT /],
    [['--path', '/none/such'], /^NOT_FOUND \/none\/such can't be created: its directory \/none does not exist/],
    [['--path', '/dev/null'], /^INVALID_ARGUMENT .*neither a file nor a block device/],
  ])('refuses %j and leaves no file behind', async (more, expected) => {
    const path = join(folder, 'a');
    expect(await refusal(create(path, ...more))).toMatch(expected);
    expect(existsSync(path)).toBe(false);
  });
});

describe('store inspect', () => {
  test('shows a table, YAML or JSON, and refuses other forms', async () => {
    const path = join(folder, 'a');
    await create(path);
    const table = await store('inspect', '--path', path);
    expect(table).toContain(`pool            demo (${POOL_UUID})`);
    expect(table).toMatch(/^age {13}0 records, format version 2\nlives {11}none: never opened\nreleased {8}no$/m);
    expect(await store('inspect', '--path', path, '--output', 'yaml')).toContain('poolName: demo');
    expect(await refusal(store('inspect', '--path', path, '--output', 'xml'))).toMatch(
      /^INVALID_ARGUMENT --output "xml": write json, yaml, table/,
    );
  });

  test('shows how old a store is, and when its newest life began', async () => {
    const path = join(folder, 'a');
    await create(path);
    const world = createSystemWorld(SILENT_LOGGER);
    const before = Date.now();
    const opened = await openStore({ path, world });
    await new Promise((resolve) => opened.commit({ released: true }, resolve));
    await new Promise((resolve) => opened.close(resolve));
    const table = await store('inspect', '--path', path);
    expect(table).toMatch(/^age +3 records, format version 2$/m);
    expect(table).toMatch(/^released +yes: the client of this version has ended in order$/m);
    const openedAt = /^lives +1, the newest opened (\S+)$/m.exec(table)?.[1];
    expect(Date.parse(openedAt ?? '')).toBeGreaterThanOrEqual(before - 1000);
    expect(await inspection(path)).toMatchObject({ age: 3, released: true, lives: [{ firstAge: 1, lastAge: null }] });
  });

  test('says what is wrong with what is no store', async () => {
    const empty = join(folder, 'empty');
    writeFileSync(empty, '');
    expect(await refusal(store('inspect', '--path', empty))).toMatch(/^STORE_NOT_FORMATTED /);
    expect(await refusal(store('inspect', '--path', join(folder, 'none')))).toMatch(/^NOT_FOUND /);
    expect(await refusal(store('inspect', '--path', folder))).toMatch(/^(IO_ERROR|INVALID_ARGUMENT) /);
  });

  test('a store that was shortened is too small', async () => {
    const path = join(folder, 'a');
    await create(path);
    truncateSync(path, DEVICE_BYTES);
    expect(await refusal(store('inspect', '--path', path))).toMatch(/^STORE_TOO_SMALL /);
    expect(await refusal(store('checksum', '--path', path))).toMatch(/^STORE_TOO_SMALL /);
  });

  test('one damaged superblock is told, two are refused', async () => {
    const path = join(folder, 'a');
    await create(path);
    const file = openSync(path, 'r+');
    writeSync(file, 'xxxx', 100);
    expect(await store('inspect', '--path', path)).toContain('superblock copy at offset 0');
    writeSync(file, 'xxxx', 1024 * 1024 - 4096 + 100);
    expect(await refusal(store('inspect', '--path', path))).toMatch(/^STORE_DAMAGED /);
  });
});

describe('store checksum', () => {
  test('is over the data alone: metadata does not count, one bit of data does', async () => {
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    await create(a);
    await create(b, '--member-id', '2');
    const digest = async (path: string) => (await store('checksum', '--path', path)).slice(0, 64);
    expect(await digest(a)).toBe(await digest(b));
    const { dataOffset } = await inspection(a);
    writeSync(openSync(a, 'r+'), new Uint8Array([1]), 0, 1, dataOffset + DEVICE_BYTES - 1);
    expect(await digest(a)).not.toBe(await digest(b));
  });

  test('by pieces it says where two members differ, and a hole equals zeroes that were written', async () => {
    const size = 8 * 1024 * 1024 + 512;
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    await create(a, '--size', String(size));
    await create(b, '--size', String(size), '--member-id', '2');
    const { dataOffset } = await inspection(a);
    const [fdA, fdB] = [openSync(a, 'r+'), openSync(b, 'r+')];
    const lines = async (path: string) => (await store('checksum', '--path', path, '--by', '1MiB')).trimEnd().split('\n');
    writeSync(fdB, new Uint8Array(1024 * 1024), 0, 1024 * 1024, dataOffset + 2 * 1024 * 1024);
    const before = await lines(a);
    expect(before).toEqual(await lines(b));
    expect(before).toHaveLength(9);
    expect(before.at(-1)).toBe(`8388608 512 ${createHash('sha256').update(new Uint8Array(512)).digest('hex')}`);

    // A bit on either side of a boundary, and the last byte of the last piece, which is shorter.
    for (const at of [1024 * 1024 - 1, 5 * 1024 * 1024, size - 1]) writeSync(fdB, new Uint8Array([1]), 0, 1, dataOffset + at);
    writeSync(fdA, new Uint8Array([2]), 0, 1, dataOffset + 3 * 1024 * 1024);
    const [first, second] = [await lines(a), await lines(b)];
    const differing = first.filter((line, i) => line !== second[i]).map((line) => line.split(' ')[0]);
    expect(differing).toEqual(['0', '3145728', '5242880', '8388608']);
    for (const fd of [fdA, fdB]) closeSync(fd);
  });

  test.each(['0', '1000', 'big', '512'])('refuses pieces of %s', async (by) => {
    const path = join(folder, 'a');
    await create(path);
    expect(await refusal(store('checksum', '--path', path, '--by', by))).toMatch(/^INVALID_ARGUMENT --by/);
  });
});
