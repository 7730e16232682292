import { sameVersion, type VersionRecord } from '@rmr/rmr';
import type { MemoryDisk } from '@rmr/testing';
import { expect, test } from 'vitest';
import { addressOf } from './simulated-nodes.ts';
import { WrongDiskPool } from './wrong-disk-pool.ts';

/** What is found in the place of member 2's store. */
const STORES = {
  empty: 'an empty store',
  stopped: 'an older copy of a stopped store',
  running: 'an older copy of a running store',
  clone: 'the store, and a clone of it on another host',
  hostClone: 'the store, and a clone of its whole host',
  other: "a copy of member 1's store",
  exchanged: "the store of member 1, and member 2's in the place of that",
  addresses: 'the store, and a configuration in which the addresses of two members are exchanged',
  otherPool: "another pool's store",
  apart: 'a store of another pool that was created under the same UUID',
  bornApart: 'the store itself, copied when it was empty, and born in another pool',
  moved: 'nothing, as the store was moved to another host',
  movedKnown: 'nothing, as the store was moved to another host, which the configuration names',
} as const;
type Store = keyof typeof STORES;

/** How it comes in. */
const WAYS = {
  return: 'when the member returns',
  restart: 'when the client restarts after member 1 has served alone',
  crash: 'when the client and member 2 died at once',
  stop: 'after everything was stopped in order',
  kill: 'after everything died',
  majority: 'after everything died, with a majority of three members',
  witness: 'after everything died, with a majority of two members and a witness',
} as const;
type Way = keyof typeof WAYS;

/**
 * What becomes of it. In every case everything that is read is right, at any time, and nobody begins a second history. In the words of
 * why, … stands for anything.
 */
type Outcome =
  /** The pool is served, and the member is copied anew. */
  | { readonly is: 'anew' }
  /** The pool is served by all members with what they have. */
  | { readonly is: 'taken' }
  /** The pool is served without the member, until the right store is back. */
  | { readonly is: 'out'; readonly why: string }
  /** The pool is not served, until the right store is back. */
  | { readonly is: 'waits'; readonly why: string };

type Row = Partial<Record<Way, Outcome>>;

const anew: Outcome = { is: 'anew' };
const taken: Outcome = { is: 'taken' };
const out = (why: string): Outcome => ({ is: 'out', why });
const waits = (why: string): Outcome => ({ is: 'waits', why });

const always = (outcome: Outcome): Row => Object.fromEntries(Object.keys(WAYS).map((way) => [way, outcome]));

/** The store is not used: where the others are enough they go on without, and else the pool waits. */
function unused(why: string, whyItWaits = why): Row {
  return { ...always(out(why)), crash: waits(whyItWaits), stop: waits(whyItWaits), kill: waits(whyItWaits) };
}

const OLDER = 'has a store that is older than … knows it to have been';
/** The store lacks writes: it is copied anew, unless no member is left that is known to have them all. */
const old: Row = { ...always(anew), crash: waits(OLDER), kill: waits(OLDER) };

const TWICE = 'is there twice';
const LINEAGES = 'different lineages of this pool, and none knows of the others';
const OTHERS_STORE = 'has store … of member 1, where member 2 (storage-2) is expected';

const MATRIX: Record<Store, Row> = {
  empty: unused('an empty store that was never in service, where the pool knows', 'with its former store … (it has … now)'),
  stopped: old,
  running: old,
  clone: unused(TWICE),
  hostClone: unused(TWICE),
  other: unused(OTHERS_STORE),
  exchanged: { stop: waits(OTHERS_STORE), kill: waits(OTHERS_STORE), majority: waits(OTHERS_STORE), witness: waits(OTHERS_STORE) },
  addresses: always(taken),
  otherPool: unused('this node has no store of pool'),
  apart: { ...always(waits(LINEAGES)), return: out('a store that was in service as version …, where the pool knows') },
  bornApart: { ...always(waits(LINEAGES)), return: out('belongs to another lineage of this pool') },
  moved: { ...unused('not connected yet'), return: out('the last path is gone') },
  movedKnown: always(taken),
};

interface Cell {
  readonly name: string;
  readonly store: Store;
  readonly way: Way;
  readonly outcome: Outcome;
}

const cells: readonly Cell[] = (Object.keys(MATRIX) as Store[]).flatMap((store) =>
  (Object.keys(MATRIX[store]) as Way[]).map((way) => {
    const outcome = MATRIX[store][way] as Outcome;
    return { name: `${STORES[store]}, ${WAYS[way]}: ${describe(outcome)}`, store, way, outcome };
  }),
);

function describe(outcome: Outcome): string {
  switch (outcome.is) {
    case 'anew':
      return 'copied anew, everything is read right';
    case 'taken':
      return 'the pool is served by all, everything is read right';
    case 'out':
      return `kept out (${outcome.why}), everything is read right`;
    case 'waits':
      return `the pool waits (${outcome.why}), and everything is read right once that is mended`;
  }
}

function pattern(words: string): RegExp {
  const parts = words.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(parts.join('.*'));
}

/** In virtual milliseconds. */
const WRITES_MS = 4_000;
/** After which storage nodes are up, and a client that runs has seen them. */
const UP_MS = 6_000;
/** After which what has become of it is final. */
const WAIT_MS = 12_000;

/** The pool before anything is wrong with it. */
interface Before {
  readonly pool: WrongDiskPool;
  readonly stoppedCopy: MemoryDisk;
  readonly runningCopy: MemoryDisk;
  readonly runningVersion: VersionRecord | null;
}

/** A pool in service, with older copies of member 2's store, which lack writes that have ended since, as all others know. */
function poolInService(store: Store, way: Way): Before {
  const isMajority = way === 'majority' || way === 'witness';
  const pool = new WrongDiskPool({
    ...{ memberCount: way === 'majority' ? 3 : 2, witness: way === 'witness', quorum: isMajority ? 'majority' : 'none', seed: 7 },
  });
  pool.beBorn();
  const [first, second, ...rest] = pool.configured;
  if (first === undefined || second === undefined) throw new Error('a pool of two members at least');
  const configured = {
    clone: [first, { ...second, addresses: pool.elsewhere.addresses }, ...rest],
    exchanged: [{ ...first, addresses: second.addresses }, { ...second, addresses: first.addresses }, ...rest],
  };
  if (store === 'clone' || store === 'hostClone' || store === 'movedKnown') pool.configured = configured.clone;
  if (store === 'addresses') pool.configured = configured.exchanged;
  pool.stopClient();
  pool.startClient();
  pool.until('the pool to be served again', () => pool.isAllWhole);
  pool.writeAll();
  pool.stopNodes([pool.node(2)]);
  pool.until('the pool to go on without the member', () => !pool.leg(2).inSync);
  const stoppedCopy = pool.node(2).disk.copy();
  pool.writeFor(1_000);
  pool.startNodes();
  pool.until('the member to be back', () => pool.isAllWhole);
  const runningCopy = pool.copyWhileWriting(2);
  const runningVersion = pool.node(2).version;
  pool.writeFor(WRITES_MS);
  return { pool, stoppedCopy, runningCopy, runningVersion };
}

/** Member 2 gets a clone on another host, with what it has now. */
function startClone(pool: WrongDiskPool, store: 'clone' | 'hostClone'): void {
  const { elsewhere } = pool;
  const original = pool.node(2);
  if (store === 'hostClone') elsewhere.hostUuid = original.hostUuid;
  elsewhere.replaceDisk(original.disk);
  elsewhere.start();
}

/** Everything that has to be down is; member 2 in every case. */
function goDown({ pool }: Before, store: Store, way: Way): void {
  const second = pool.node(2);
  if (way === 'return' && (store === 'clone' || store === 'hostClone')) {
    // Without its original the clone would be taken for the member, which has moved.
    startClone(pool, store);
    pool.run(UP_MS);
    expect(found(pool)).toEqual({ is: 'taken', why: '' });
  }
  if (way === 'stop') {
    pool.stopClient();
    pool.stopNodes(pool.all);
    return;
  }
  // Some members may have a write that others lack.
  pool.write(20, 8);
  pool.world.run(1);
  if (way === 'return' || way === 'restart') {
    second.crash();
    pool.until('the pool to go on without the member', () => !pool.leg(2).inSync);
    pool.writeFor(1_000);
    if (way === 'restart') pool.killClient();
    return;
  }
  for (const node of way === 'crash' ? [second] : pool.all) node.crash();
  pool.killClient();
}

/** Member 2, which is down, is given what it has not had. Returns what mends that. */
function replaceStore({ pool, stoppedCopy, runningCopy, runningVersion }: Before, store: Store): () => void {
  const [first, second] = [pool.node(1), pool.node(2)];
  const right = second.disk;
  const mend = (): void => {
    second.crash();
    second.replaceDisk(right);
    second.start();
  };
  switch (store) {
    case 'empty':
      second.replaceDisk(pool.emptyDisk(2));
      return mend;
    case 'stopped':
      second.replaceDisk(stoppedCopy);
      return mend;
    case 'running':
      // Nothing but the writes has happened since.
      expect(second.version !== null && runningVersion !== null && sameVersion(second.version, runningVersion)).toBe(true);
      second.replaceDisk(runningCopy);
      return mend;
    case 'clone':
    case 'hostClone':
      if (!pool.elsewhere.running) startClone(pool, store);
      return () => pool.elsewhere.crash();
    case 'other':
      second.replaceDisk(first.disk.copy());
      return mend;
    case 'exchanged': {
      const its = first.disk;
      second.replaceDisk(its);
      first.replaceDisk(right);
      return () => {
        first.crash();
        first.replaceDisk(its);
        first.start();
        mend();
      };
    }
    case 'otherPool':
    case 'apart':
    case 'bornApart': {
      const other = new WrongDiskPool({
        ...{ memberCount: 2, witness: false, quorum: 'none', seed: 11 },
        ...(store === 'otherPool' ? {} : { poolUuid: pool.poolUuid }),
        ...(store === 'bornApart' ? { disks: pool.newborn } : {}),
      });
      other.beBorn();
      other.writeFor(WRITES_MS);
      pool.foreign.add(other.status.version?.lineageUuid ?? '');
      other.stopClient();
      other.stopNodes(other.all);
      second.replaceDisk(other.node(2).disk);
      return mend;
    }
    case 'moved':
    case 'movedKnown':
      pool.elsewhere.replaceDisk(right);
      pool.elsewhere.start();
      second.heldDown = true;
      return () => {
        pool.configured = pool.configured.map((member) => (member.memberId === 2 ? { ...addressOf(pool.elsewhere), memberId: 2 } : member));
        pool.killClient();
        pool.startClient();
      };
    case 'addresses':
      return () => {};
  }
}

/** What has become of it. */
function found(pool: WrongDiskPool): { readonly is: Outcome['is']; readonly why: string } {
  const { state, waitingFor } = pool.status;
  if (state !== 'SERVING') return { is: 'waits', why: waitingFor?.what ?? '' };
  const { inSync, reason } = pool.leg(2);
  if (!inSync) return { is: 'out', why: reason };
  return { is: pool.isAcceptedAnew(2) ? 'anew' : 'taken', why: '' };
}

test.each(cells.map((cell) => [cell.name, cell] as const))('%s', (_name, { store, way, outcome }) => {
  const before = poolInService(store, way);
  const { pool } = before;
  goDown(before, store, way);
  const mend = replaceStore(before, store);
  pool.startNodes();
  if (pool.client === null) {
    pool.run(UP_MS);
    pool.startClient();
  }
  const { readCount } = pool;
  pool.run(WAIT_MS);
  expect(found(pool)).toEqual({ is: outcome.is, why: 'why' in outcome ? expect.stringMatching(pattern(outcome.why)) : '' });
  if (outcome.is === 'waits') {
    expect(pool.status.born).not.toBe(false);
    expect(pool.readCount).toBe(readCount);
  } else {
    pool.readEverything();
    pool.writeFor(1_000);
    pool.readEverything();
    expect(pool.isAllWhole).toBe(outcome.is !== 'out');
  }
  if (outcome.is === 'out' || outcome.is === 'waits') {
    mend();
    pool.until('the right store to be back', () => pool.isAllWhole);
    expect(found(pool).is).toBe('taken');
    pool.readEverything();
    pool.writeFor(1_000);
    pool.readEverything();
  }
});

test.each([0, 20])(
  'L9: a copy that a moved store has left behind is not taken for it, where a member knows nothing of the move (what was moved answers %i ms later)',
  (lateMs) => {
    const { pool } = poolInService('moved', 'stop');
    const [first, second] = [pool.node(1), pool.node(2)];
    first.crash();
    pool.until('the pool to go on without member 1', () => !pool.leg(1).inSync);
    pool.writeFor(1_000);
    pool.stopClient();
    pool.stopNodes([second]);
    pool.elsewhere.replaceDisk(second.disk);
    pool.elsewhere.start();
    pool.configured = pool.configured.map((member) =>
      member.memberId === 2 ? { ...member, addresses: pool.elsewhere.addresses } : member,
    );
    pool.startClient();
    pool.until('the pool to be served by what was moved', () => pool.status.state === 'SERVING');
    pool.writeFor(1_000);
    pool.stopClient();
    pool.startNodes();
    pool.run(UP_MS);
    pool.startClient();
    pool.network.slow(pool.client?.name ?? '', pool.elsewhere.name, lateMs);
    pool.run(WAIT_MS);
    expect([found(pool).is, pool.leg(2).addresses, pool.isAllWhole]).toEqual(['taken', pool.elsewhere.addresses, true]);
    pool.readEverything();
  },
);
