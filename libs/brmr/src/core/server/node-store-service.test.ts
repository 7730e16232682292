import { NO_RESYNC_ORDER, type ResyncOrder } from '@rmr/rmr';
import { OperationError } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import type { StoreOrder, StoreState } from '../commands/node-commands.ts';
import type { StoreSpec } from './kept-store.ts';
import { NodeStoreService, type RememberedStore } from './node-store-service.ts';
import type { StoreKeeper } from './store-keeper.ts';

const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;
const order = (storeDigit: number, poolDigit = 9, disk = 'ssd'): StoreOrder => ({
  ...{ disk, storeUuid: uuid(storeDigit), poolUuid: uuid(poolDigit), poolName: `pool-${poolDigit}`, memberId: 1, lineageUuid: uuid(8) },
  ...{ sizeBytes: 1024 * 1024, chunkSizeBytes: 65_536, queueDepth: 128, witness: false },
});

/** What survives a crash of the node. */
class Durable {
  readonly remembered = new Map<string, RememberedStore>();
  /** The stores on its disks, by path. `part`: it was begun and not finished. */
  readonly stores = new Map<string, 'part' | 'whole'>();
  /** Orders for the resync of pools. */
  readonly resync = new Map<string, ResyncOrder>();
}

/** A process of the node. At its `crashAt`th action, counted from 1, it dies before the action has happened; at its next half, after. */
class Process {
  readonly service: NodeStoreService;
  readonly kept: { spec: StoreSpec; state: string; identity: { poolUuid: string; storeUuid: string } | null; reason: string }[] = [];
  readonly #durable: Durable;
  readonly #world: VirtualWorld;
  actions = 0;
  dead = false;
  /** The resync of the one pool that has an open store. */
  readonly resync: { order: ResyncOrder } = { order: NO_RESYNC_ORDER };
  makeFails: OperationError | null = null;

  constructor(world: VirtualWorld, durable: Durable, crashAt = Number.POSITIVE_INFINITY) {
    this.#durable = durable;
    this.#world = world;
    const act = (change: () => void, done: () => void): void => {
      world.after(1, () => {
        if (this.dead) return;
        this.actions++;
        this.dead = this.actions > crashAt - 1 && crashAt % 1 === 0;
        if (this.dead) return;
        change();
        this.dead = this.actions > crashAt - 1;
        if (!this.dead) done();
      });
    };
    const pathOf = ({ disk, storeUuid }: StoreOrder): string => `/${disk}/${storeUuid}`;
    this.service = new NodeStoreService({
      log: world.log,
      keeper: this.#keeper(),
      memory: {
        entries: () => [...durable.remembered.values()],
        put: (store, done) =>
          act(
            () => durable.remembered.set(store.order.storeUuid, store),
            () => done(null),
          ),
        delete: (storeUuid, done) =>
          act(
            () => durable.remembered.delete(storeUuid),
            () => done(null),
          ),
      },
      disks: {
        look: (done) => done({ hostName: 'storage-1', hostUuid: uuid(7), disks: [] }),
        make: (made, done) => {
          if (this.makeFails !== null) {
            const error = this.makeFails;
            world.after(1, () => done(error));
            return;
          }
          const path = pathOf(made);
          act(
            () => durable.stores.set(path, durable.stores.get(path) ?? 'part'),
            () =>
              act(
                () => durable.stores.set(path, 'whole'),
                () => done(null),
              ),
          );
        },
        destroy: (gone, done) =>
          act(
            () => durable.stores.delete(pathOf(gone)),
            () => done(null),
          ),
        specOf: (kept) => ({ path: pathOf(kept), ioTimeoutMs: 20_000 }),
      },
      resync: {
        of: (poolUuid) => (poolUuid === uuid(9) ? this.resync : null),
        remember: (poolUuid, resyncOrder, done) =>
          act(
            () => durable.resync.set(poolUuid, resyncOrder),
            () => done(null),
          ),
      },
    });
    this.service.start();
  }

  #keeper(): StoreKeeper {
    return {
      stores: this.kept,
      add: (spec: StoreSpec, done: (error: null) => void) => {
        const whole = this.#durable.stores.get(spec.path) === 'whole';
        const known = [...this.#durable.remembered.values()].find(({ order: kept }) => spec.path.endsWith(kept.storeUuid));
        const identity = known === undefined ? null : { poolUuid: known.order.poolUuid, storeUuid: known.order.storeUuid };
        this.kept.push({ spec, state: whole ? 'ATTACHED' : 'DETACHED', identity, reason: '' });
        done(null);
      },
      remove: (path: string, done: () => void) => {
        this.#world.after(1, () => {
          const index = this.kept.findIndex(({ spec }) => spec.path === path);
          if (index >= 0) this.kept.splice(index, 1);
          done();
        });
      },
    } as unknown as StoreKeeper;
  }
}

let world: VirtualWorld;
let durable: Durable;
beforeEach(() => {
  world = new VirtualWorld(1);
  durable = new Durable();
});

type Ask = (service: NodeStoreService, done: (state: StoreState | OperationError) => void) => void;

const create =
  (of: StoreOrder): Ask =>
  (service, done) =>
    service.create(of, 'client-1', done);
const remove =
  (of: StoreOrder): Ask =>
  (service, done) =>
    service.delete(of.storeUuid, of.poolUuid, 'client-1', done);

/** Asks once. */
function once(process: Process, ask: Ask): string {
  let answer: StoreState | OperationError | undefined;
  ask(process.service, (state) => {
    expect(answer).toBeUndefined();
    answer = state;
  });
  world.run(20);
  return answer === undefined ? 'no answer' : answer instanceof OperationError ? `${answer.code}: ${answer.message}` : answer.state;
}

/** Asks until the answer is the wanted one, as clients do. */
function until(process: Process, ask: Ask, wanted: string): void {
  for (let i = 0; i < 10; i++) if (once(process, ask) === wanted) return;
  expect(once(process, ask)).toBe(wanted);
}

describe('stores that a node is told to keep', () => {
  test('a store is made, opened, opened again after a restart, and destroyed', () => {
    const process = new Process(world, durable);
    until(process, create(order(1)), 'OPEN');
    const restarted = new Process(world, durable);
    expect(restarted.kept.map(({ state }) => state)).toEqual(['ATTACHED']);
    expect(once(restarted, create(order(1)))).toBe('OPEN');
    until(restarted, remove(order(1)), 'ABSENT');
    expect({ remembered: durable.remembered.size, stores: durable.stores.size, kept: restarted.kept }).toEqual({
      remembered: 0,
      stores: 0,
      kept: [],
    });
  });

  test.each(Array.from({ length: 8 }, (_, i) => 1 + i / 2))(
    'a node that crashes at action %d of making a store: the store is made when it is asked for again',
    (at) => {
      const process = new Process(world, durable, at);
      for (let i = 0; i < 5; i++) once(process, create(order(1)));
      expect(process.dead).toBe(true);
      const restarted = new Process(world, durable);
      until(restarted, create(order(1)), 'OPEN');
      expect([...durable.stores]).toEqual([[`/ssd/${uuid(1)}`, 'whole']]);
      // And what was made in part can be taken back.
      const another = new Process(world, durable);
      until(another, remove(order(1)), 'ABSENT');
      expect([durable.stores.size, durable.remembered.size]).toEqual([0, 0]);
    },
  );

  test.each(Array.from({ length: 6 }, (_, i) => 1 + i / 2))(
    'a node that crashes at action %d of destroying a store goes on with that by itself, or the store is whole',
    (at) => {
      until(new Process(world, durable), create(order(1)), 'OPEN');
      const process = new Process(world, durable, at);
      for (let i = 0; i < 3; i++) once(process, remove(order(1)));
      expect(process.dead).toBe(true);
      const restarted = new Process(world, durable);
      world.run(100);
      if (durable.remembered.size > 0) expect(restarted.kept.map(({ state }) => state)).toEqual(['ATTACHED']);
      until(restarted, remove(order(1)), 'ABSENT');
      expect([durable.stores.size, durable.remembered.size]).toEqual([0, 0]);
    },
  );

  test('a store that was begun and never asked for again is not opened, and can be taken back', () => {
    once(new Process(world, durable, 2.5), create(order(1)));
    const restarted = new Process(world, durable);
    world.run(100);
    expect([restarted.kept, [...durable.stores.values()]]).toEqual([[], ['part']]);
    until(restarted, remove(order(1)), 'ABSENT');
    expect(durable.stores.size).toBe(0);
  });

  test('what can not be made is told once, and made when it is asked for once more', () => {
    const process = new Process(world, durable);
    process.makeFails = new OperationError('NO_SPACE', 'the disk ssd is full');
    expect(once(process, create(order(1)))).toBe('CREATING');
    expect(once(process, create(order(1)))).toBe('NO_SPACE: the disk ssd is full');
    process.makeFails = null;
    until(process, create(order(1)), 'OPEN');
  });

  test('a store that is closed stays closed over a restart, and another store of its pool may be opened meanwhile', () => {
    const process = new Process(world, durable);
    until(process, create(order(1)), 'OPEN');
    expect(once(process, create(order(2)))).toMatch(/^CONFLICT: this node has a store of pool pool-9 already \(disk ssd\)/);
    const close: Ask = (service, done) => service.close(uuid(1), uuid(9), 'client-1', done);
    const open: Ask = (service, done) => service.open(uuid(1), uuid(9), 'client-1', done);
    until(process, close, 'CLOSED');
    const restarted = new Process(world, durable);
    expect([restarted.kept, once(restarted, close)]).toEqual([[], 'CLOSED']);
    until(restarted, create(order(2)), 'OPEN');
    expect(once(restarted, open)).toMatch(/^CONFLICT: this node has a store of pool pool-9 already/);
    until(restarted, remove(order(2)), 'ABSENT');
    until(restarted, open, 'OPEN');
  });

  test.each([
    ['of another pool', { ...order(1), poolUuid: uuid(3) }, /^CONFLICT: store .*1 is there already, with another poolUuid$/],
    ['of another size', { ...order(1), sizeBytes: 4096 }, /another sizeBytes$/],
    ['on another disk', { ...order(1), disk: 'hdd' }, /another disk$/],
  ])('a store that is there and is asked for %s is refused', (_what, asked, why) => {
    const process = new Process(world, durable);
    until(process, create(order(1)), 'OPEN');
    expect(once(process, create(asked))).toMatch(why);
  });

  test('a store is never destroyed for another pool than its own', () => {
    const process = new Process(world, durable);
    until(process, create(order(1)), 'OPEN');
    const wrong: Ask = (service, done) => service.delete(uuid(1), uuid(3), 'client-1', done);
    expect(once(process, wrong)).toMatch(/^CONFLICT: store .* is of pool pool-9 .*, and not of/);
    expect(process.kept.map(({ state }) => state)).toEqual(['ATTACHED']);
  });

  test('a store that the configuration file names is changed there', () => {
    const process = new Process(world, durable);
    const identity = { poolUuid: uuid(9), storeUuid: uuid(5) };
    process.kept.push({ spec: { path: '/static', ioTimeoutMs: 1 }, state: 'ATTACHED', identity, reason: '' });
    expect(once(process, remove(order(5)))).toMatch(/^CONFLICT: \/static stands under "stores" in the configuration file/);
    expect(once(process, create(order(1)))).toMatch(/^CONFLICT: this node has a store of pool pool-9 already \(\/static\)/);
  });

  test('a store that is gone, or never was, is gone', () => {
    const process = new Process(world, durable);
    expect(once(process, remove(order(1)))).toBe('ABSENT');
    expect(once(process, (service, done) => service.close(uuid(1), uuid(9), 'client-1', done))).toBe('ABSENT');
  });

  test('resync is ordered for a pool of an open store alone: durably before it is answered, and what is not given stays', () => {
    const process = new Process(world, durable);
    const answers: unknown[] = [];
    const ordered = (poolDigit: number, change: Partial<ResyncOrder>): void =>
      process.service.orderResync(uuid(poolDigit), change, 'client-1', (answer) => answers.push(answer));
    ordered(9, { paused: true });
    ordered(9, { rateBytes: 1_000_000 });
    ordered(3, { paused: true });
    expect(answers).toMatchObject([{ code: 'NOT_FOUND' }]);
    world.run(10);
    const both = { paused: true, rateBytes: 1_000_000 };
    expect({ answers: answers.slice(1), durable: durable.resync.get(uuid(9)), now: process.resync.order }).toEqual({
      answers: [{ paused: true, rateBytes: null }, both],
      durable: both,
      now: both,
    });
  });

  test('an order for resync that can not be remembered changes nothing', () => {
    const process = new Process(world, durable, 1);
    const answers: unknown[] = [];
    process.service.orderResync(uuid(9), { paused: true }, 'client-1', (answer) => answers.push(answer));
    world.run(10);
    expect({ answers, now: process.resync.order }).toEqual({ answers: [], now: NO_RESYNC_ORDER });
  });
});
