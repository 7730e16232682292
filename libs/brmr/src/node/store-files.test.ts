import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT_LOGGER } from '@rmr/runtime';
import { createSystemWorld } from '@rmr/runtime/node';
import { afterAll, expect, test } from 'vitest';
import { createStore, dataDigest, inspect, openStore } from './store-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'brmr-store-'));
afterAll(() => rmSync(directory, { recursive: true }));

const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;

test('a store that was created, written, flushed and closed has its data and metadata when it is opened again', async () => {
  const path = join(directory, 'a.store');
  const world = createSystemWorld(SILENT_LOGGER);
  await createStore({
    path,
    storeUuid: uuid(1),
    poolUuid: uuid(2),
    lineageUuid: uuid(3),
    poolName: 'pool',
    memberId: 1,
    sizeBytes: 64 << 20,
    queueDepth: 32,
  });
  const empty = createHash('sha256')
    .update(new Uint8Array(64 << 20))
    .digest('hex');
  expect(await dataDigest(path)).toBe(empty);
  const store = await openStore({ path, world, poolUuid: uuid(2) });
  const ended = new Map<number, number>();
  const sink = { onDiskDone: (tag: number, status: number) => void ended.set(tag, status) };
  const source = new Uint8Array(8192).fill(7);
  expect(store.prepareWrite(4096, 8192, 1, new Uint8Array(8), 0, 1, sink)).toBe(false);
  await expect.poll(() => ended.get(1)).toBe(0);
  store.recordLastIo(0, 1, 4096, 8192);
  store.write(4096, source, 2, sink);
  store.submit();
  await expect.poll(() => ended.get(2)).toBe(0);
  const target = new Uint8Array(8192);
  store.read(4096, target, 3, sink);
  store.submit();
  await expect.poll(() => ended.get(3)).toBe(0);
  expect(target).toEqual(source);
  store.flush(4, sink);
  await expect.poll(() => ended.get(4)).toBe(0);
  expect((await inspect(path)).lastIo).toHaveLength(1);
  await expect(openStore({ path, world })).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  await expect(openStore({ path, world })).rejects.toThrow(`process ${process.pid}`);
  store.verify();
  expect(await new Promise((resolve) => store.close(resolve))).toBe(0);
  const whole = new Uint8Array(64 << 20);
  whole.set(source, 4096);
  expect(await dataDigest(path)).toBe(createHash('sha256').update(whole).digest('hex'));
  const again = await openStore({ path, world });
  expect(again.volatileLost).toBe(false);
  expect(again.identity.createdZeroed).toBe(true);
  await new Promise((resolve) => again.close(resolve));
});
