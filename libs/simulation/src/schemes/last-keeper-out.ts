import { Status } from '@rmr/runtime';
import type { SimulatedClient, SimulatedStorageNode } from '../simulated-nodes.ts';
import { CONCURRENCY_MAX } from '../workload.ts';
import { STANDSTILL_BYTES } from './fall-behind.ts';
import type { Scheme, Stage } from './scheme.ts';

/** After which those that are kept away while others lose power come back, if nothing else ends it. */
const KEEPER_OUT_MS = 15_000;

/**
 * All members but one lose power, and with it what was not flushed. The one that is left is the keeper of that data. One of the others
 * comes back. Before it has pulled anything, the pool is flushed. Then the keeper loses power, too, and comes back. The remaining
 * members come back last, and what they have does not count (◆19).
 */
export const LAST_KEEPER_OUT: Scheme = {
  name: 'last keeper out',
  begin(stage, client) {
    const { cluster, workload } = stage;
    if (cluster.nodes.length < 3 || cluster.nodes[0]?.policy?.quorum === 'majority') return;
    stage.when(client, {
      condition: () => cluster.settled && cluster.inSync().filter((node) => node.store !== null).length >= 3,
      strike: () => {
        workload.mayBeDurable = false;
        cluster.world.after(50 + stage.below(300), () => {
          workload.mayBeDurable = true;
          if (stage.isStill(client)) losePowerInTurn(stage, client);
        });
      },
    });
  },
};

function losePowerInTurn(stage: Stage, client: SimulatedClient): void {
  const { cluster, workload } = stage;
  const [keeper, behind, ...away] = stage.shuffled(cluster.inSync());
  if (keeper === undefined || behind === undefined || away.length === 0) return;
  const endLimit = cluster.limitResync(STANDSTILL_BYTES);
  const heals = away.map((node) => stage.cutOff([client, keeper, behind], node));
  const end = (): void => {
    endLimit();
    for (const heal of heals) heal();
  };
  cluster.world.after(KEEPER_OUT_MS, end);
  cluster.losePower([behind, ...away]);
  const isBack = (node: SimulatedStorageNode): boolean => stage.isIn(node) && node.dirtyCount(node.memberId) > 0;
  stage.when(client, {
    condition: () => isBack(behind) && workload.operations.size < CONCURRENCY_MAX,
    strike: () => {
      workload.flush((status) => {
        if (status !== Status.OK || !stage.isStill(client)) return;
        cluster.losePower([keeper]);
        stage.when(client, { condition: () => isBack(keeper), strike: end });
      });
    },
  });
}
