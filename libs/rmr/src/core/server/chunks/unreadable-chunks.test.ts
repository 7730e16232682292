import { ChunkGrid } from '@rmr/dirty-map';
import { beforeEach, expect, test } from 'vitest';
import { UNREADABLE_CHUNKS_MAX } from '../../../constants.ts';
import { UnreadableChunks } from './unreadable-chunks.ts';

const CHUNK = 4096;
const DEVICE = 100 * CHUNK + 512;
let chunks: UnreadableChunks;

beforeEach(() => {
  chunks = new UnreadableChunks(new ChunkGrid(DEVICE, CHUNK));
});

test('a read of one chunk says that it is bad, the last one with its real size', () => {
  chunks.note(CHUNK, 512);
  chunks.note(2 * CHUNK + 512, CHUNK - 512);
  chunks.note(100 * CHUNK, 512);
  expect(chunks.ranges()).toEqual([
    { offsetBytes: CHUNK, lengthBytes: 2 * CHUNK },
    { offsetBytes: 100 * CHUNK, lengthBytes: 512 },
  ]);
});

test('I8: one of several chunks does not say which of them is: they are suspects, until they are taken, read alone, or written', () => {
  chunks.note(CHUNK - 1, 2);
  chunks.note(9 * CHUNK, 3 * CHUNK);
  chunks.note(10 * CHUNK, 1);
  chunks.written(11 * CHUNK, CHUNK);
  expect(chunks.ranges()).toEqual([{ offsetBytes: 10 * CHUNK, lengthBytes: CHUNK }]);
  expect(chunks.takeSuspects()).toEqual([
    { offsetBytes: 0, lengthBytes: 2 * CHUNK },
    { offsetBytes: 9 * CHUNK, lengthBytes: CHUNK },
  ]);
  expect(chunks.takeSuspects()).toEqual([]);
});

test('only a write of the whole chunk makes up for it', () => {
  for (const chunk of [1, 2, 3]) chunks.note(chunk * CHUNK, CHUNK);
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
  const large = new UnreadableChunks(new ChunkGrid(2 * UNREADABLE_CHUNKS_MAX * CHUNK, CHUNK));
  large.note(0, 2 * UNREADABLE_CHUNKS_MAX * CHUNK);
  for (let chunk = 0; chunk < 2 * UNREADABLE_CHUNKS_MAX; chunk++) large.note(chunk * CHUNK, CHUNK);
  expect(large.ranges()).toEqual([{ offsetBytes: 0, lengthBytes: UNREADABLE_CHUNKS_MAX * CHUNK }]);
  large.note(0, 2 * UNREADABLE_CHUNKS_MAX * CHUNK);
  expect(large.takeSuspects()).toEqual([{ offsetBytes: 0, lengthBytes: UNREADABLE_CHUNKS_MAX * CHUNK }]);
});
