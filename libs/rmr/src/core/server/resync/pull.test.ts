import { ChunkGrid } from '@rmr/dirty-map';
import { expect, test } from 'vitest';
import { IO_BYTES_MAX } from '../../../constants.ts';
import { Pull } from './pull.ts';

const CHUNK = 4 * IO_BYTES_MAX;

test('a pull ends with the device, whose last chunk may be short', () => {
  const pull = new Pull(new ChunkGrid(10 * 4096 - 1000, 4096));
  pull.firstChunk = 8;
  pull.chunkCount = 1;
  expect([pull.offsetBytes, pull.lengthBytes]).toEqual([8 * 4096, 4096]);
  pull.chunkCount = 2;
  expect([pull.offsetBytes, pull.lengthBytes]).toEqual([8 * 4096, 2 * 4096 - 1000]);
});

test('I12: a piece goes on where the last one has ended, and fits into a message', () => {
  const pull = new Pull(new ChunkGrid(8 * CHUNK - 1000, CHUNK));
  pull.firstChunk = 7;
  pull.chunkCount = 1;
  const pieces: number[][] = [];
  for (; pull.writtenBytes < pull.lengthBytes; pull.writtenBytes += pull.pieceBytes) pieces.push([pull.pieceOffsetBytes, pull.pieceBytes]);
  expect(pieces).toEqual([
    [7 * CHUNK, IO_BYTES_MAX],
    [7 * CHUNK + IO_BYTES_MAX, IO_BYTES_MAX],
    [7 * CHUNK + 2 * IO_BYTES_MAX, IO_BYTES_MAX],
    [7 * CHUNK + 3 * IO_BYTES_MAX, IO_BYTES_MAX - 1000],
  ]);
});
