import { expect, test } from 'vitest';
import { simulate } from './simulation.ts';
import { HARMLESS_BESIDE_IT, STUTTERING_MEMBER } from './stuttering-member.ts';

const TIMEOUT_MS = 300_000;

test.each([1, 4, 5])(
  'L7, L4: a member that stutters is out, comes back less and less often, and its returns cost little: seed %i',
  (seed) => {
    const result = simulate(seed, { faults: [STUTTERING_MEMBER, HARMLESS_BESIDE_IT] });
    expect([result.failure, result.faultCounts[STUTTERING_MEMBER]]).toEqual([null, expect.any(Number)]);
    expect(result.faultCounts[STUTTERING_MEMBER]).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);
