import { SeededRandom } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { RequestKind } from './device-request.ts';
import { nextRequest } from './workload.ts';

test.each([1, 7, 2048, 65_536])('requests stay within a part of %d sectors, and are the same for the same seed', (sectorCount) => {
  const draw = (seed: number) => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 3000 }, () => nextRequest(random, sectorCount));
  };
  const requests = draw(1);
  for (const request of requests) {
    expect(request.firstSector).toBeGreaterThanOrEqual(0);
    expect(request.firstSector + request.sectorCount).toBeLessThanOrEqual(sectorCount);
    expect(request.sectorCount > 0).toBe(request.kind !== RequestKind.FLUSH);
  }
  expect(new Set(requests.map((request) => request.kind))).toEqual(new Set(Object.values(RequestKind)));
  expect(requests.some((request) => request.fua)).toBe(true);
  expect(draw(1)).toEqual(requests);
  expect(draw(2)).not.toEqual(requests);
});
