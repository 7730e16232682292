import { beforeEach, expect, test } from 'vitest';
import { UNREADABLE_CHUNKS_MAX } from '../../constants.ts';
import { UnreadableChunks } from './unreadable-chunks.ts';

const CHUNK = 4096;
const DEVICE = 100 * CHUNK + 512;
let chunks: UnreadableChunks;

beforeEach(() => {
  chunks = new UnreadableChunks(CHUNK, DEVICE);
});

test('every chunk that a failed read touches counts, the last one with its real size', () => {
  chunks.note(CHUNK - 1, 2);
  chunks.note(CHUNK, 512);
  chunks.note(100 * CHUNK, 512);
  expect(chunks.ranges()).toEqual([
    { offsetBytes: 0, lengthBytes: 2 * CHUNK },
    { offsetBytes: 100 * CHUNK, lengthBytes: 512 },
  ]);
});

test('only a write of the whole chunk makes up for it', () => {
  chunks.note(CHUNK, 3 * CHUNK);
  chunks.note(100 * CHUNK, 1);
  chunks.written(CHUNK + 512, 2 * CHUNK);
  chunks.written(99 * CHUNK, CHUNK + 511);
  expect(chunks.ranges()).toEqual([
    { offsetBytes: CHUNK, lengthBytes: CHUNK },
    { offsetBytes: 3 * CHUNK, lengthBytes: CHUNK },
    { offsetBytes: 100 * CHUNK, lengthBytes: 512 },
  ]);
  chunks.written(0, DEVICE);
  expect(chunks.ranges()).toEqual([]);
});

test('I12: no more than so many are remembered', () => {
  const large = new UnreadableChunks(CHUNK, 2 * UNREADABLE_CHUNKS_MAX * CHUNK);
  large.note(0, 2 * UNREADABLE_CHUNKS_MAX * CHUNK);
  large.note(0, CHUNK);
  expect(large.ranges()).toEqual([{ offsetBytes: 0, lengthBytes: UNREADABLE_CHUNKS_MAX * CHUNK }]);
});
