import { describe, expect, test } from 'vitest';
import { InvariantViolation } from './errors.ts';
import { SLAB_BYTES, SlabPool } from './slab.ts';

describe('slab pool', () => {
  test('memory is used again after its last release, and not before', () => {
    const pool = new SlabPool();
    const slab = pool.take();
    slab.retain();
    slab.release();
    expect(pool.take()).not.toBe(slab);
    slab.release();
    expect(pool.take()).toBe(slab);
    expect(pool.heldBytes).toBe(2 * SLAB_BYTES);
  });

  test('a large slab is rounded up, kept apart, and taken again when it is large enough', () => {
    const pool = new SlabPool();
    const large = pool.take(SLAB_BYTES + 1);
    expect(large.bytes.length).toBe(2 * SLAB_BYTES);
    large.release();
    expect(pool.take(1)).not.toBe(large);
    expect(pool.take(3 * SLAB_BYTES)).not.toBe(large);
    expect(pool.take(SLAB_BYTES * 2)).toBe(large);
  });

  test('releasing too often and retaining what is free are bugs', () => {
    const slab = new SlabPool().take();
    slab.release();
    expect(() => slab.release()).toThrow(InvariantViolation);
    expect(() => slab.retain()).toThrow(InvariantViolation);
  });
});
