import { describe, expect, test } from 'vitest';
import { InvariantViolation } from './errors.ts';
import { SLAB_BYTES, SlabPool } from './slab.ts';

describe('slab pool', () => {
  test('memory is used again after its last release, and not before', () => {
    const pool = new SlabPool();
    const slab = pool.take();
    slab.retain();
    slab.release();
    expect(pool.take() === slab).toBe(false);
    slab.release();
    expect(pool.take() === slab).toBe(true);
    expect(pool.heldBytes).toBe(2 * SLAB_BYTES);
  });

  test('a large slab is rounded up, kept apart, and taken again when it is large enough', () => {
    const pool = new SlabPool();
    const large = pool.take(SLAB_BYTES + 1);
    expect(large.bytes.length).toBe(2 * SLAB_BYTES);
    large.release();
    expect(pool.take(1) === large).toBe(false);
    expect(pool.take(3 * SLAB_BYTES) === large).toBe(false);
    expect(pool.take(SLAB_BYTES * 2) === large).toBe(true);
  });

  test('releasing too often and retaining what is free are bugs', () => {
    const slab = new SlabPool().take();
    slab.release();
    expect(() => slab.release()).toThrow(InvariantViolation);
    expect(() => slab.retain()).toThrow(InvariantViolation);
  });
});
