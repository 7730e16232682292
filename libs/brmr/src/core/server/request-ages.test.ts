import { SeededRandom } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { RequestAges } from './request-ages.ts';

test('nothing under way has no age, nor has a request before it was asked about twice', () => {
  const ages = new RequestAges();
  expect(ages.oldestMs(0)).toBe(0);
  const request = ages.begin();
  expect(ages.oldestMs(10)).toBe(0);
  expect(ages.oldestMs(20)).toBe(10);
  expect(ages.oldestMs(1000)).toBe(990);
  ages.end(request);
  expect(ages.oldestMs(1010)).toBe(0);
  expect(ages.oldestMs(2000)).toBe(0);
});

test('requests that come and go have no age, however long that goes on; one that stays is found among them', () => {
  const ages = new RequestAges();
  const random = new SeededRandom(1);
  const open: number[] = [];
  let stuck = -1;
  for (let nowMs = 0; nowMs < 10_000; nowMs += 10) {
    for (let i = random.u32() % 8; i > 0; i--) open.push(ages.begin());
    if (nowMs === 5000) stuck = ages.begin();
    // All that is older than some 50 ms ends.
    while (open.length > 20) ages.end(open.shift() as number);
    const oldestMs = ages.oldestMs(nowMs);
    if (stuck < 0) expect(oldestMs).toBeLessThan(200);
    else {
      // Never more than the truth, and at most half of it less, once it counts.
      expect(oldestMs).toBeLessThanOrEqual(nowMs - 5000);
      if (nowMs > 5500) expect(oldestMs).toBeGreaterThan((nowMs - 5000) / 2);
    }
  }
  ages.end(stuck);
});
