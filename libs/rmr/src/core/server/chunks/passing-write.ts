import { Status } from '@rmr/runtime';
import type { ByteRange } from '../../../pool-store.ts';
import { mergeRanges } from '../../../ranges.ts';
import type { OwnChunks } from './own-chunks.ts';

/** A write that passes dirty chunks by (W10): it is carried out here in parts, on what is clean of its range. */
export class PassingWrite {
  /** In order; none where all chunks of the range are dirty. */
  readonly parts: readonly ByteRange[];
  #left: number;
  #status: number = Status.OK;

  constructor(own: OwnChunks, offsetBytes: number, lengthBytes: number) {
    const end = offsetBytes + lengthBytes;
    this.parts = mergeRanges(own.cleanRanges(offsetBytes, lengthBytes)).map((range) => {
      const from = Math.max(range.offsetBytes, offsetBytes);
      return { offsetBytes: from, lengthBytes: Math.min(range.offsetBytes + range.lengthBytes, end) - from };
    });
    this.#left = this.parts.length;
  }

  /** A part has ended. With the last one, how the whole went: an error if one of them failed; else null. */
  partEnded(status: number): number | null {
    if (status !== Status.OK) this.#status = status;
    this.#left--;
    return this.#left === 0 ? this.#status : null;
  }
}
