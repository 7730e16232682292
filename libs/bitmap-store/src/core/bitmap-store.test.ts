import { type OperationError, SILENT_LOGGER, type Ticked, type TurnTask } from '@rmr/runtime';
import { MemoryDisk } from '@rmr/testing';
import { expect, test } from 'vitest';
import { BitmapStore } from './bitmap-store.ts';
import { createStore } from './create-store.ts';
import { openStore } from './open-store.ts';

test('smoke', () => {
  const tasks: TurnTask[] = [];
  const world = {
    turn: {
      defer(task: TurnTask) {
        if (!task.turnQueued) {
          task.turnQueued = true;
          tasks.push(task);
        }
      },
    },
    ticker: { subscribe(_: Ticked) {}, unsubscribe(_: Ticked) {} },
    log: SILENT_LOGGER,
  };
  const run = () => {
    for (let t = tasks.shift(); t; t = tasks.shift()) {
      t.turnQueued = false;
      t.runAtTurnEnd();
    }
  };
  const disk = new MemoryDisk({ sizeBytes: 128 << 20 });
  const u = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
  let err: unknown = 1;
  createStore(
    disk,
    {
      label: 'd',
      data: 'known',
      force: false,
      storeUuid: u(1),
      poolUuid: u(2),
      lineageUuid: u(3),
      poolName: 'p',
      memberId: 0,
      deviceBytes: 64 << 20,
      chunkBytes: 131072,
      queueDepth: 32,
    },
    (e) => {
      err = e;
    },
  );
  expect(err).toBeNull();
  let opened: BitmapStore | OperationError | null = null;
  const open = () => {
    openStore(disk, { label: 'd', world, bootId: u(9) }, (r) => {
      opened = r;
    });
    run();
    if (!(opened instanceof BitmapStore)) throw opened;
    return opened;
  };
  let store = open();
  let st = -1;
  store.commit(
    {
      promise: { epoch: 3, clientInstance: u(5), clientName: 'c' },
      dirtyAdd: [{ memberIds: [1, 2], ranges: [{ offsetBytes: 5, lengthBytes: 300000 }] }],
    },
    (s) => {
      st = s;
    },
  );
  run();
  expect(st).toBe(0);
  expect(store.promise?.epoch).toBe(3);
  expect(store.dirtyBytes(1)).toBe(3 * 131072);
  const done: number[] = [];
  const sink = {
    onDiskDone: (t: number, s: number) => {
      done.push(t, s);
    },
  };
  expect(store.prepareWrite(0, 4096, 1, new Uint8Array(8), 0, 7, sink)).toBe(false);
  run();
  expect(done).toEqual([7, 0]);
  expect(store.prepareWrite(0, 4096, 2, new Uint8Array(8), 0, 7, sink)).toBe(true);
  store.recordLastIo(3, 2, 0, 4096);
  expect(store.submitLastIo()).toBe(true);
  store.verify();
  store.close((s) => {
    st = s + 100;
  });
  run();
  expect(st).toBe(100);
  disk.abandon();
  store = open();
  expect(store.promise?.epoch).toBe(3);
  expect(store.dirtyBytes(2)).toBe(3 * 131072);
  expect(store.lastIo()).toEqual([{ memId: 3, writeSeq: 2, offsetBytes: 0, lengthBytes: 4096 }]);
  expect(store.intentRanges().length).toBe(1);
  expect(store.volatileLost).toBe(false);
  store.verify();
});
