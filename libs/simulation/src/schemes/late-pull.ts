import { fallBehind, lackedChunks, overwrite } from './fall-behind.ts';
import type { Scheme } from './scheme.ts';

/** Sessions are given up after two seconds of silence: what is late comes before that. */
const LATE_MS_MAX = 1_700;

/**
 * A member leaves the set while the data of a pull is on its way to it. Before the member is back, the same place is overwritten on the
 * others. Then the data arrives. It belongs to a former version, and is older than what the others have (R2, ◆21).
 */
export const LATE_PULL: Scheme = {
  name: 'late pull',
  begin(stage, client, inSync) {
    if (inSync.length < 2) return;
    const { cluster } = stage;
    const { network, world } = cluster;
    const behind = stage.oneOf(inSync);
    const others = cluster.nodes.filter((node) => node !== behind);
    fallBehind(stage, client, behind, {
      behind: (endLimit) => {
        for (const other of others) network.partitionOneWay(other.name, behind.name);
        endLimit();
        const arrive = (): void => {
          for (const other of others) network.heal(other.name, behind.name);
        };
        world.after(LATE_MS_MAX, arrive);
        world.after(10 + stage.below(50), () => {
          if (!stage.isStill(client)) return;
          const heal = stage.cutOff([client], behind);
          stage.when(client, {
            condition: () => stage.isOut(behind),
            strike: () => {
              overwrite(stage, lackedChunks(stage, behind));
              stage.when(client, { condition: () => stage.isIn(behind), strike: arrive });
            },
            after: () => world.after(stage.below(20), heal),
          });
        });
      },
    });
  },
};
