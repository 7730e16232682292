import { assert, type DiskSink } from '@rmr/runtime';
import { MEMBER_SLOTS } from '../constants.ts';
import type { StoreChange } from './change-encoder.ts';

/** Free prepare units. */
export class PrepareUnits {
  readonly #free: PrepareUnit[] = [];

  take(
    firstRegion: number,
    lastRegion: number,
    firstChunk: number,
    chunkCount: number,
    writeSeq: number,
    missing: Uint8Array,
    missingCount: number,
    tag: number,
    sink: DiskSink,
  ): PrepareUnit {
    assert(missingCount <= MEMBER_SLOTS, 'prepare unit: as many members as a pool has');
    const unit = this.#free.pop() ?? {
      kind: UnitKind.PREPARE,
      firstRegion: 0,
      lastRegion: 0,
      firstChunk: 0,
      chunkCount: 0,
      writeSeq: 0,
      missing: new Uint8Array(MEMBER_SLOTS),
      missingCount: 0,
      tag: 0,
      sink: NOBODY,
      starved: false,
    };
    unit.firstRegion = firstRegion;
    unit.lastRegion = lastRegion;
    unit.firstChunk = firstChunk;
    unit.chunkCount = chunkCount;
    unit.writeSeq = writeSeq;
    for (let i = 0; i < missingCount; i++) unit.missing[i] = missing[i] as number;
    unit.missingCount = missingCount;
    unit.tag = tag;
    unit.sink = sink;
    unit.starved = false;
    return unit;
  }

  giveBack(unit: PrepareUnit): void {
    unit.sink = NOBODY;
    this.#free.push(unit);
  }
}

/** What may wait for the commit engine. */
export const UnitKind = { PREPARE: 0, COMMIT: 1, REFUSED: 2 } as const;

/** A change of the control path. */
export interface CommitUnit {
  readonly kind: typeof UnitKind.COMMIT;
  readonly change: StoreChange;
  /** How many flushes of the disk had failed when it was asked for. */
  readonly failuresBefore: number;
  readonly done: (status: number) => void;
}

/** A request that is answered with an error, in its turn. */
export interface RefusedUnit {
  readonly kind: typeof UnitKind.REFUSED;
  readonly status: number;
  readonly tag: number;
  readonly sink: DiskSink;
}

/** A write that waits for its regions and dirty bits. Used again and again. */
export interface PrepareUnit {
  readonly kind: typeof UnitKind.PREPARE;
  firstRegion: number;
  lastRegion: number;
  firstChunk: number;
  chunkCount: number;
  writeSeq: number;
  readonly missing: Uint8Array;
  missingCount: number;
  tag: number;
  sink: DiskSink;
  /** It has waited for a flush already because the write intent was full. */
  starved: boolean;
}

export type WaitUnit = CommitUnit | RefusedUnit | PrepareUnit;

const NOBODY: DiskSink = {
  onDiskDone() {
    assert(false, 'prepare unit: a free one is not answered');
  },
};
