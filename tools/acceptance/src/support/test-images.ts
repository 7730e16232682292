import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { KIB, randomBelow, SeededRandom } from '@rmr/runtime';

const PIECE_BYTES = 64 * KIB;

/** Writes a file of `sizeBytes` of which about half is random data and the rest holes, cut at odd offsets. */
export function writeImageWithHoles(path: string, sizeBytes: number, seed: number): void {
  const random = new SeededRandom(seed);
  const file = openSync(path, 'wx');
  try {
    ftruncateSync(file, sizeBytes);
    const piece = Buffer.alloc(PIECE_BYTES);
    for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
      if (random.u32() % 2 === 0) continue;
      for (let i = 0; i < PIECE_BYTES; i += 4) piece.writeUInt32LE(random.u32(), i);
      const skip = random.u32() % 8 === 0 ? randomBelow(random, PIECE_BYTES / 2) : 0;
      const length = Math.min(PIECE_BYTES, sizeBytes - offset) - skip;
      if (length > 0) writeSync(file, piece, 0, length, offset + skip);
    }
  } finally {
    closeSync(file);
  }
}

/** The offset of the first byte in which two files differ, or null; a shorter file is taken to differ at its end. */
export function firstDifference(pathA: string, pathB: string): number | null {
  const a = openSync(pathA, 'r');
  const b = openSync(pathB, 'r');
  try {
    const pieceA = Buffer.alloc(1024 * KIB);
    const pieceB = Buffer.alloc(1024 * KIB);
    for (let offset = 0; ; ) {
      const countA = readSync(a, pieceA, 0, pieceA.length, offset);
      const countB = readSync(b, pieceB, 0, pieceB.length, offset);
      const common = Math.min(countA, countB);
      if (!pieceA.subarray(0, common).equals(pieceB.subarray(0, common))) {
        for (let i = 0; i < common; i++) if (pieceA[i] !== pieceB[i]) return offset + i;
      }
      if (countA !== countB) return offset + common;
      if (countA === 0) return null;
      offset += countA;
    }
  } finally {
    closeSync(a);
    closeSync(b);
  }
}
