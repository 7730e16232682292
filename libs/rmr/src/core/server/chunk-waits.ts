import type { Clock } from '@rmr/runtime';
import type { OwnChunks } from './own-chunks.ts';
import { type ChunkWait, sumUpWaits } from './pool-server-counters.ts';
import type { RequestSlots } from './request-slots.ts';
import type { Resync } from './resync.ts';

/** What the requests with these tags wait for, which wait for dirty or locked chunks. */
export function chunkWaits(tags: readonly number[], slots: RequestSlots, own: OwnChunks, resync: Resync, clock: Clock): ChunkWait[] {
  const wallMs = clock.wallMs() - clock.nowMs();
  const waits: ChunkWait[] = [];
  for (const tag of tags) {
    const chunk = own.firstDirty(slots.offsets[tag] as number, slots.lengths[tag] as number);
    // Clean by now: it is taken up at the end of the turn.
    if (chunk < 0) continue;
    const isLocked = resync.isLocked(chunk, 1);
    const what = isLocked ? 'a pull or a write of the chunk that is under way' : resync.sourceOf(chunk);
    const remedy = isLocked ? undefined : resync.remedyFor(chunk);
    waits.push({ chunk, what, remedy, requests: 1, sinceMs: wallMs + (slots.waitingSinceMs[tag] as number) });
  }
  return sumUpWaits(waits);
}
