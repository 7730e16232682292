import { randomBelow, SeededRandom } from '@rmr/runtime';
import { expect, test } from 'vitest';
import {
  STORES_MAX,
  STORES_SPARE,
  type StorePlaces,
  THREADS_KEPT,
  THREADS_MAX,
  THREADS_PER_STORE,
  ThreadPlaces,
  threadsFor,
} from './thread-places.ts';

/** Takes all that it gets, as a store does whose disk hangs. */
function flood(places: StorePlaces): number {
  while (places.take());
  return places.taken;
}

test.each([1, 2, 3, 20, 80, STORES_MAX])('of %i stores all but one hang, and the last one has its share', (count) => {
  const threads = threadsFor(count);
  expect(threads).toBeLessThanOrEqual(THREADS_MAX);
  const all = new ThreadPlaces(threads);
  const stores = Array.from({ length: count }, () => all.join());
  const last = stores.pop() as StorePlaces;
  for (const store of stores) expect(flood(store)).toBeGreaterThanOrEqual(4);
  expect(flood(last)).toBeGreaterThanOrEqual(4);
  all.verify();
  const taken = [...stores, last].reduce((sum, store) => sum + store.taken, 0);
  // What the process itself needs is left.
  expect(taken).toBeLessThanOrEqual(threads - THREADS_KEPT);
});

test('a store that is opened later has its threads, although all others hang', () => {
  const all = new ThreadPlaces(threadsFor(3));
  for (let i = 0; i < 3; i++) expect(flood(all.join())).toBe(THREADS_PER_STORE);
  for (let i = 0; i < STORES_SPARE; i++) expect(flood(all.join())).toBe(THREADS_PER_STORE);
});

test('where there are more stores than threads, each has one', () => {
  const all = new ThreadPlaces(THREADS_KEPT);
  const stores = Array.from({ length: 10 }, () => all.join());
  for (const store of stores) expect(store.take()).toBe(true);
  for (const store of stores) expect(store.take()).toBe(false);
});

test('what nobody has a claim to is lent, and whoever was refused is woken when it is given back', () => {
  const all = new ThreadPlaces(THREADS_KEPT + 10);
  const [first, second] = [all.join(), all.join()];
  expect(all.share).toBe(5);
  // The other one's share stays free for it.
  expect(flood(first)).toBe(5);
  let woken = 0;
  first.onFree = () => woken++;
  second.leave();
  expect(woken).toBe(1);
  expect(flood(first)).toBe(10);
  first.give();
  expect(woken).toBe(2);
});

test('places are counted, whoever takes, gives, comes and goes', () => {
  const random = new SeededRandom(1);
  const all = new ThreadPlaces(THREADS_KEPT + 40);
  const stores: StorePlaces[] = [];
  for (let i = 0; i < 5_000; i++) {
    const store = stores[randomBelow(random, Math.max(1, stores.length))];
    const what = randomBelow(random, 10);
    if (store === undefined || (what === 0 && stores.length < 8)) stores.push(all.join());
    else if (what === 1 && store.taken === 0) stores.splice(stores.indexOf(store), 1)[0]?.leave();
    else if (what < 6) store.take();
    else if (store.taken > 0) store.give();
    all.verify();
  }
});
