import { type DiskSink, Status } from '@rmr/runtime';
import type { PoolStore } from '../../../pool-store.ts';
import { type Pull, PullPhase } from './pull.ts';

/**
 * The steps by which the piece of a pull that was read comes onto this member's disk (R1): space, the write intent, the data. Each sets
 * the pull's phase. `sink` is told with the pull's tag what the disk has done, once for each change that `changesLeft` counts.
 */

/** W8: the data finds space. Holes need none. Whether it has all of it at once. */
export function reservePull(store: PoolStore, pull: Pull, tag: number, sink: DiskSink): boolean {
  pull.phase = PullPhase.SPACE;
  pull.changeStatus = Status.OK;
  pull.changesLeft = 1;
  let offsetBytes = pull.pieceOffsetBytes;
  for (const { lengthBytes, hole } of pull.runs) {
    if (!hole && !store.reserve(offsetBytes, lengthBytes, tag, sink)) pull.changesLeft++;
    offsetBytes += lengthBytes;
  }
  return --pull.changesLeft === 0;
}

/** The regions enter the write intent. Whether they are in it already. */
export function preparePull(store: PoolStore, pull: Pull, tag: number, sink: DiskSink): boolean {
  pull.phase = PullPhase.PREPARE;
  const { pieceOffsetBytes, coveredBytes } = pull;
  return store.prepareWrite(pieceOffsetBytes, coveredBytes, pull.unresolvedSeq, NO_MEMBERS, 0, tag, sink);
}

/**
 * It is written: data as data, and a hole as a hole, be there data on this disk or not. Where a flush of the disk has failed, it goes past
 * the page cache (W10): a place that the disk can't keep then fails this pull, and not the flush of everything.
 */
export function writePull(store: PoolStore, pull: Pull, tag: number, sink: DiskSink): void {
  pull.phase = PullPhase.WRITE;
  pull.changeStatus = Status.OK;
  pull.changesLeft = pull.runs.length;
  const data = pull.data as Uint8Array;
  noteUnresolved(store, pull);
  let offsetBytes = pull.pieceOffsetBytes;
  let at = 0;
  for (const { lengthBytes, hole } of pull.runs) {
    if (hole) store.punch(offsetBytes, lengthBytes, tag, sink, store.careful);
    else store.write(offsetBytes, data.subarray(at, at + lengthBytes), tag, sink, store.careful);
    if (!hole || !pull.sparse) at += lengthBytes;
    offsetBytes += lengthBytes;
  }
}

/**
 * I2: the data shows writes that are not resolved yet, and that this member may never get: it waited for this very chunk,
 * or is still on its way, when the client and the source die. Nobody would suspect the chunk then. So what the source has
 * in `lastIo` of them goes into the own one before the data is written; a newer write of the unit resolves the older.
 */
function noteUnresolved(store: PoolStore, pull: Pull): void {
  if (pull.unresolved.length === 0) return;
  const newest = new Map(store.lastIo().map(({ ioUnit, writeSeq }) => [ioUnit, writeSeq]));
  for (const { ioUnit, writeSeq, offsetBytes, lengthBytes } of pull.unresolved) {
    if ((newest.get(ioUnit) ?? 0) < writeSeq) store.recordLastIo(ioUnit, writeSeq, offsetBytes, lengthBytes);
  }
  pull.unresolved = [];
}

const NO_MEMBERS = new Uint8Array(0);
