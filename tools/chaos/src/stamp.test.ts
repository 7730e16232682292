import { describe, expect, test } from 'vitest';
import { SECTOR_BYTES, stampedSectors, stampsOf } from './stamp.ts';

describe('stamped sectors', () => {
  test('tell their stamps where they were written', () => {
    expect(stampsOf(stampedSectors(7, 3, 42), 7)).toEqual([42, 42, 42]);
    expect(stampsOf(new Uint8Array(2 * SECTOR_BYTES), 9)).toEqual([0, 0]);
  });

  test('may lie anywhere in memory', () => {
    const bytes = new Uint8Array(SECTOR_BYTES + 3);
    bytes.set(stampedSectors(1, 1, 5), 3);
    expect(stampsOf(bytes.subarray(3), 1)).toEqual([5]);
    expect(stampsOf(Buffer.from(bytes.buffer, 3), 1)).toEqual([5]);
  });

  test('in another place are told from the right ones', () => {
    expect(stampsOf(stampedSectors(8, 1, 42), 7)).toBe('sector 7: holds what was written to sector 8 with stamp 42');
  });

  test('of two writes in one sector are torn', () => {
    const torn = stampedSectors(7, 1, 42);
    torn.set(stampedSectors(7, 1, 43).subarray(0, 256));
    expect(stampsOf(torn, 7)).toBe('sector 7: torn, parts of the writes 43, 42');
    const half = stampedSectors(7, 1, 42);
    half.fill(0, 256);
    expect(stampsOf(half, 7)).toContain('sector 7: torn');
  });

  test('with any bit that is wrong are no write of ours', () => {
    for (let bit = 0; bit < SECTOR_BYTES * 8; bit += 61) {
      const bytes = stampedSectors(7, 1, 42);
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(stampsOf(bytes, 7)).toMatch(/^sector 7: /);
    }
    const zeroes = new Uint8Array(SECTOR_BYTES);
    zeroes[511] = 1;
    expect(stampsOf(zeroes, 7)).toMatch(/^sector 7: /);
  });
});
