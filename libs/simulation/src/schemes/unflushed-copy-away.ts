import { Status } from '@rmr/runtime';
import type { SimulatedClient, SimulatedStorageNode } from '../simulated-nodes.ts';
import { CONCURRENCY_MAX } from '../workload.ts';
import { STANDSTILL_BYTES } from './fall-behind.ts';
import type { Scheme, Stage } from './scheme.ts';

/** After which everybody may be reached again, if nothing else ends it. */
const AWAY_MS = 15_000;

/**
 * Member A leaves with data that it has not flushed, and the others flush that data. Of these, B loses power. When B is back, what it may
 * lack is dirty for it, and it can pull nothing. Then C, which has everything durably, leaves with writes in flight. What A has of their
 * chunks looks clean, but A loses it when it loses power (V5, ◆12).
 */
export const UNFLUSHED_COPY_AWAY: Scheme = {
  name: 'unflushed copy away',
  begin(stage, client) {
    const { cluster, workload } = stage;
    if (cluster.nodes.length < 3 || cluster.nodes[0]?.policy?.quorum === 'majority') return;
    stage.when(client, {
      condition: () => cluster.settled && cluster.inSync().filter((node) => node.store !== null).length >= 3,
      strike: () => {
        workload.mayBeDurable = false;
        cluster.world.after(50 + stage.below(300), () => {
          workload.mayBeDurable = true;
          if (stage.isStill(client)) leaveUnflushed(stage, client);
        });
      },
    });
  },
};

function leaveUnflushed(stage: Stage, client: SimulatedClient): void {
  const { cluster, workload } = stage;
  const [keeper, behind, ...away] = stage.shuffled(cluster.inSync());
  if (keeper === undefined || behind === undefined || away.length === 0) return;
  const endLimit = cluster.limitResync(STANDSTILL_BYTES);
  const heals = away.map((node) => stage.cutOff([client, keeper, behind], node));
  // What is written meanwhile is dirty for those that are away, and looks clean there no more.
  workload.mayChange = false;
  const end = (): void => {
    workload.mayChange = true;
    endLimit();
    for (const heal of heals.splice(0)) heal();
  };
  cluster.world.after(AWAY_MS, end);
  stage.when(client, {
    condition: () => away.every((node) => stage.isOut(node)) && stage.isIn(keeper) && stage.isIn(behind),
    strike: () =>
      workload.flush((status) => {
        if (status !== Status.OK || !stage.isStill(client)) return;
        cluster.losePower([behind]);
        stage.when(client, {
          condition: () => stage.isIn(behind) && behind.dirtyCount(behind.memberId) > 0,
          strike: () => {
            heals.push(stage.cutOff([client, behind], keeper));
            workload.mayChange = true;
            for (const chunk of cluster.geometry.hotChunks) if (workload.operations.size < CONCURRENCY_MAX) workload.overwritePart(chunk);
            loseUnflushed(stage, client, keeper, away, end);
          },
        });
      }),
  });
}

function loseUnflushed(
  stage: Stage,
  client: SimulatedClient,
  keeper: SimulatedStorageNode,
  away: readonly SimulatedStorageNode[],
  end: () => void,
): void {
  const { cluster } = stage;
  stage.when(client, {
    condition: () => stage.isOut(keeper),
    strike: () => {
      cluster.losePower(away);
      cluster.world.after(200 + stage.below(1_000), end);
    },
  });
}
