import type { SimulatedClient, SimulatedStorageNode } from '../simulated-nodes.ts';
import { CONCURRENCY_MAX } from '../workload.ts';
import type { Stage } from './scheme.ts';

/** A member misses writes, and is back before it could pull them. */
export function fallBehind(stage: Stage, client: SimulatedClient, node: SimulatedStorageNode, then: Then): void {
  const { cluster } = stage;
  const endLimit = cluster.limitResync(STANDSTILL_BYTES);
  const heal = stage.cutOff([client], node);
  stage.when(client, {
    condition: () => stage.isOut(node),
    strike: () => overwrite(stage, cluster.geometry.hotChunks),
    after: () => cluster.world.after(50 + stage.below(500), heal),
  });
  let isBehind = false;
  stage.when(client, {
    condition: () => stage.isIn(node) && node.dirtyCount(node.memberId) > 0,
    strike: () => {
      isBehind = true;
      then.behind(endLimit);
    },
    after: () => {
      if (isBehind) return;
      endLimit();
      then.inVain?.();
    },
  });
}

/** Bytes per second of resync while only what IO asks for is to be pulled. */
export const STANDSTILL_BYTES = 1024;
/** Chunks that are overwritten at a time. */
const OVERWRITES = 3;

/** What comes after {@link fallBehind}. */
interface Then {
  /** The member is back in the set and lacks chunks. Resync stands nearly still until `endLimit` is called. */
  readonly behind: (endLimit: () => void) => void;
  /** It did not come to that. */
  readonly inVain?: () => void;
}

/** Replaces some of the chunks, each as a whole. */
export function overwrite(stage: Stage, chunks: readonly number[]): void {
  for (let left = OVERWRITES; left > 0 && chunks.length > 0 && stage.workload.operations.size < CONCURRENCY_MAX; left--)
    stage.workload.overwrite(stage.oneOf(chunks), 1);
}

/** The hot chunks that the member lacks. */
export function lackedChunks({ cluster }: Stage, node: SimulatedStorageNode): readonly number[] {
  return cluster.geometry.hotChunks.filter((chunk) => node.isDirty(node.memberId, chunk));
}
