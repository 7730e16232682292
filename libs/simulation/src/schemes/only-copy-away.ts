import type { SimulatedClient, SimulatedStorageNode } from '../simulated-nodes.ts';
import { CONCURRENCY_MAX } from '../workload.ts';
import { fallBehind } from './fall-behind.ts';
import type { Scheme, Stage } from './scheme.ts';

/**
 * A member has missed writes that nobody has flushed. When it is back, and before it could pull them, the members that have them are cut
 * off. The pool goes on with chunks that are dirty for all of its set, and a flush is asked for. It must wait, as the data may not be
 * durable on the members that have it (flush rule, ◆8).
 */
export const ONLY_COPY_AWAY: Scheme = {
  name: 'only copy away',
  begin(stage, client, inSync) {
    if (inSync.length < 2 || inSync[0]?.policy?.quorum === 'majority') return;
    const { workload } = stage;
    const behind = stage.oneOf(inSync);
    workload.mayBeDurable = false;
    const end = (): void => {
      workload.mayBeDurable = true;
    };
    fallBehind(stage, client, behind, {
      behind: (endLimit) =>
        leaveAlone(stage, client, behind, () => {
          end();
          endLimit();
        }),
      inVain: end,
    });
  },
};

function leaveAlone(stage: Stage, client: SimulatedClient, behind: SimulatedStorageNode, end: () => void): void {
  const { cluster, workload } = stage;
  const others = cluster.nodes.filter((node) => node !== behind);
  const heals = others.map((other) => stage.cutOff([client, behind], other));
  const isAlone = (): boolean => cluster.settled && cluster.inSync().every((node) => node === behind);
  stage.when(client, {
    condition: () => isAlone() && workload.operations.size < CONCURRENCY_MAX,
    strike: () => workload.flush(() => {}),
    after: () => {
      end();
      cluster.world.after(500 + stage.below(3_000), () => {
        for (const heal of heals) heal();
      });
    },
  });
}
