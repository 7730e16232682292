import { assert, type DiskExtent } from '@rmr/runtime';

/** A {@link DiskExtent} that is being made. */
interface Run {
  lengthBytes: number;
  readonly hole: boolean;
}

/** Whether all bytes are zero, so that a hole does as well. */
export function isZero(data: Uint8Array): boolean {
  if (data.byteOffset % 4 !== 0 || data.length % 4 !== 0) return data.every((byte) => byte === 0);
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
  return true;
}

/**
 * The data as runs that adjoin: blocks of zeroes, which do as well as holes, and the rest. Data begins at a border of blocks;
 * a last block may be short. `blockBytes`: a power of two, what the disk that gets the data frees at a time.
 */
export function zeroRuns(data: Uint8Array, blockBytes: number): DiskExtent[] {
  assert(blockBytes > 0, 'zero runs: a block has a size');
  const runs: Run[] = [];
  for (let at = 0; at < data.length; at += blockBytes) {
    const block = data.subarray(at, at + blockBytes);
    const hole = isZero(block);
    const last = runs.at(-1);
    if (last !== undefined && last.hole === hole) last.lengthBytes += block.length;
    else runs.push({ lengthBytes: block.length, hole });
  }
  return runs;
}

/** The first `lengthBytes` of the runs. */
export function firstOfRuns(runs: readonly DiskExtent[], lengthBytes: number): DiskExtent[] {
  const first: DiskExtent[] = [];
  let left = lengthBytes;
  for (const { lengthBytes: runBytes, hole } of runs) {
    if (left === 0) break;
    const part = Math.min(runBytes, left);
    first.push({ lengthBytes: part, hole });
    left -= part;
  }
  assert(left === 0, 'runs: they are as long as what is asked for');
  return first;
}
