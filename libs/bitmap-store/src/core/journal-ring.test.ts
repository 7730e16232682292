import { randomBelow, SeededRandom } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { JournalRing } from './journal-ring.ts';

test('records never overlap one that is still needed, and every place is found again after a checkpoint', () => {
  const random = new SeededRandom(3);
  const ring = new JournalRing(256 * 1024, 1);
  let refused = 0;
  for (let i = 0; i < 20_000; i++) {
    const size = 4096 * (1 + randomBelow(random, 16));
    const offset = ring.placeFor(size);
    if (offset < 0) {
      refused++;
      ring.releaseBelow(ring.tailSequence + 1 + randomBelow(random, ring.nextSequence - ring.tailSequence));
    } else {
      ring.append(offset, size);
    }
    ring.verify();
  }
  expect(refused).toBeGreaterThan(100);
  ring.releaseBelow(ring.nextSequence);
  expect(ring.liveBytes).toBe(0);
  expect(ring.placeFor(256 * 1024)).toBe(0);
});

test('only sequences that exist are released', () => {
  const ring = new JournalRing(256 * 1024, 5);
  expect(() => ring.releaseBelow(6)).toThrow(/released up to the next record/);
  expect(() => ring.releaseBelow(4)).toThrow(/released up to the next record/);
});
