import type { SimulatedClient, SimulatedStorageNode } from '../simulated-nodes.ts';
import { overwrite } from './fall-behind.ts';
import type { Scheme, Stage } from './scheme.ts';

/** Members at which no more are added. */
const MEMBERS_MAX = 4;
/** What the others are later to record a version. */
const LATE_MS = 150;

/**
 * A member of the set has recorded that a new member is added. Then its connection breaks, so the addition is superseded, and when it is
 * back it erases the map of the new member. The addition is asked for again, under the same id and epoch. The new member comes into the
 * set, leaves, and misses writes (I6).
 */
export const SUPERSEDED_ADDITION: Scheme = {
  name: 'superseded addition',
  begin(stage, client, inSync) {
    const { cluster, context } = stage;
    const { network } = cluster;
    if (inSync.length < 2 || cluster.nodes.length >= MEMBERS_MAX) return;
    const first = stage.oneOf(inSync);
    const others = inSync.filter((node) => node !== first);
    const added = context.addMember();
    if (added === null) return;
    for (const other of others) network.slow(client.name, other.name, LATE_MS);
    stage.when(client, {
      condition: () => hasInTable(first, added) && !others.some((other) => hasInTable(other, added)),
      strike: () => network.cut(client.name, first.name),
      after: () => {
        for (const other of others) network.slow(client.name, other.name, 0);
        missWrites(stage, client, added);
      },
    });
  },
};

function hasInTable(node: SimulatedStorageNode, { memberId }: SimulatedStorageNode): boolean {
  return node.store?.members.some((member) => member.memberId === memberId) === true;
}

/** The member is cut off once it is in the set and has what writes then replace. */
function missWrites(stage: Stage, client: SimulatedClient, node: SimulatedStorageNode): void {
  const { cluster } = stage;
  const chunksItHas = (): number[] => cluster.geometry.hotChunks.filter((chunk) => !node.isDirty(node.memberId, chunk));
  stage.when(client, {
    condition: () => stage.isIn(node) && chunksItHas().length > 0,
    strike: () => {
      const chunks = chunksItHas();
      const heal = stage.cutOff([client], node);
      stage.when(client, {
        condition: () => stage.isOut(node),
        strike: () => overwrite(stage, chunks),
        after: () => cluster.world.after(50 + stage.below(500), heal),
      });
    },
  });
}
