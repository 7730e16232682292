import { DirtyMap } from '@rmr/dirty-map';
import { type ClaimResult, mapReadResultSchema } from '../../../wire/control-message.ts';
import { applyLeaf } from '../../map-leaves.ts';
import type { Leg } from '../legs/leg.ts';
import type { Grant } from '../recovery/assembly.ts';

/**
 * Reads every column of a member that has granted, page by page. `done` gets the grant with its columns, or why that
 * did not work; once. `current` says whether anybody still wants to know.
 */
export function readGrant(
  leg: Leg,
  claim: ClaimResult,
  source: MapSource,
  current: () => boolean,
  done: (grant: Grant | null, failure: string) => void,
): void {
  const columns = new Map<number, DirtyMap>();
  const left = claim.columns.filter((column) => column.dirtyChunks > 0).map((column) => column.memberId);
  const finish = (): void => {
    const { version, volatileLost, lastIo, intent, unreadable } = claim;
    done({ memberId: leg.member.memberId, version, volatileLost, lastIo, intent, unreadable, columns }, '');
  };
  const readColumn = (memberId: number, fromLeaf: number): void => {
    leg.call(
      { op: 'map-read', poolUuid: source.poolUuid, epoch: source.epoch, memberId, fromLeaf },
      mapReadResultSchema,
      (result, failure) => {
        if (!current()) return;
        if (result === null) {
          done(null, failure?.message ?? `${leg.describe()} to hand over its dirty maps`);
          return;
        }
        let map = columns.get(memberId);
        if (map === undefined) {
          map = new DirtyMap(source.chunkCount);
          columns.set(memberId, map);
        }
        for (const leaf of result.leaves) {
          const wrong = applyLeaf(map, leaf);
          if (wrong !== null) {
            done(null, `${leg.describe()} to hand over a sound dirty map of member ${memberId}: ${wrong}`);
            return;
          }
        }
        if (result.nextLeaf !== null && result.nextLeaf > fromLeaf) readColumn(memberId, result.nextLeaf);
        else next();
      },
    );
  };
  const next = (): void => {
    const memberId = left.pop();
    if (memberId === undefined) finish();
    else readColumn(memberId, 0);
  };
  next();
}

/** Where a leg's maps are read from, and how large they are. */
export interface MapSource {
  readonly poolUuid: string;
  readonly epoch: number;
  readonly chunkCount: number;
}
