import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { KIB, MIB } from '@rmr/runtime';

/** What a block device can do, as the kernel says. */
export interface BlockLimits {
  /** It writes zeroes by itself, and frees space for them if it can: no data is moved. */
  readonly writesZeroes: boolean;
  /** The block in which it frees space, a power of two in bytes. */
  readonly holeBytes: number;
}

/** Blocks of zeroes that a device which frees nothing is told to zero, rather than being sent the zeroes. */
const ZERO_BLOCK_BYTES = 64 * KIB;
/** Where a device writes zeroes only as data, less than this at a time gains nothing. */
const SLOW_BLOCK_BYTES = 1 * MIB;
/** The smallest block that anybody tracks, and the largest that one message can carry. */
const HOLE_BYTES_MIN = 4 * KIB;
const HOLE_BYTES_MAX = 1 * MIB;

/** What counts where the kernel says nothing: then everything works all the same, and zeroes are written as data. */
const UNKNOWN: BlockLimits = { writesZeroes: false, holeBytes: SLOW_BLOCK_BYTES };

/**
 * The limits of the block device with this number (`rdev` of `stat`). A partition has none of its own in sysfs: what counts is the disk
 * that it is on. Logical volumes, multipath and loop devices have their own, which the kernel makes of those underneath.
 * `sysfs`: where sysfs is mounted. A container may hide it.
 */
export function blockLimits(rdev: number, sysfs = '/sys'): BlockLimits {
  const { major, minor } = deviceNumber(rdev);
  try {
    // Where the link leads: the directory of a partition lies in that of its disk.
    const device = realpathSync(join(sysfs, 'dev/block', `${major}:${minor}`));
    const queue = join(existsSync(join(device, 'partition')) ? dirname(device) : device, 'queue');
    const writesZeroes = numberIn(join(queue, 'write_zeroes_max_bytes')) > 0;
    if (!writesZeroes) return UNKNOWN;
    const granularity = numberIn(join(queue, 'discard_granularity'));
    const freed = granularity === 0 ? ZERO_BLOCK_BYTES : 2 ** Math.ceil(Math.log2(granularity));
    return { writesZeroes, holeBytes: Math.min(Math.max(freed, HOLE_BYTES_MIN), HOLE_BYTES_MAX) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return UNKNOWN;
  }
}

/** The parts of a device number, as the kernel's `makedev` packs them. */
export function deviceNumber(dev: number): { readonly major: number; readonly minor: number } {
  return { major: Math.floor(dev / 256) & 0xfff, minor: (dev & 0xff) | (Math.floor(dev / 0x10_0000) << 8) };
}

function numberIn(path: string): number {
  return Number(readFileSync(path, 'utf8').trim());
}
