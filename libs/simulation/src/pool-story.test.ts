import { expect, test } from 'vitest';
import { PoolStory } from './pool-story.ts';

test('a member that crashes is out, comes back, and has what was written meanwhile', () => {
  const pool = new PoolStory(2);
  pool.member(2).crash();
  expect(pool.write(3, 7).end()).toEqual({ status: 'OK' });
  pool.member(2).start();
  pool.member(2).untilWhole();
  pool.member(1).crash();
  expect(pool.read(3).end()).toEqual({ status: 'OK', value: 7 });
});

test('I8: a read of what only a member has that is coming back waits until that one can be read from (seed 70)', () => {
  const pool = new PoolStory(2);
  pool.write(5, 9).end();
  pool.flush().end();
  pool.member(2).crash();
  pool.member(2).untilOut();
  pool.member(1).loseChunk(5);

  const read = pool.read(5);
  pool.run(3_000);
  expect(read.answer).toBeNull();
  // Member 2 is in the set for a while before it can be read from: its disk is slow.
  pool.member(2).slowDown(60);
  pool.member(2).start();
  expect(read.end()).toEqual({ status: 'OK', value: 9 });
});

test('I8: what a force has left without a copy fails reads, holds up no flush, and is healed by a write (seed 8)', () => {
  const pool = new PoolStory(2);
  pool.member(2).crash();
  pool.write(4, 1).end();
  pool.member(2).start();
  pool.member(2).pauseResync();
  pool.member(2).untilBack();
  // Member 2 knows that it lacks chunk 4, and member 1, which has it, is gone for good.
  pool.crashClient();
  pool.member(1).crash();
  pool.startClient();
  pool.run(10_000);
  expect(pool.status.state).toBe('RECOVERING');
  pool.force();
  pool.untilServed();

  expect(pool.status.lost).toMatchObject({ bytes: 4096 });
  expect(pool.flush().end()).toEqual({ status: 'OK' });
  expect(pool.read(4).end()).toEqual({ status: 'EIO' });
  expect(pool.write(4, 2).end()).toEqual({ status: 'OK' });
  expect(pool.read(4).end()).toEqual({ status: 'OK', value: 2 });
  expect(pool.status.lost).toBeNull();
});
