import { goOnWithout } from './ahead-at-a-crash.ts';
import { fallBehind } from './fall-behind.ts';
import type { Scheme } from './scheme.ts';

/** How long writes are on their way to all but one member: by then it has been pulled from, and the client is dead. */
const LATE_MS = 900;
const PULL_MS_MAX = 600;

/**
 * Writes reach one member before all others. Another member, which lacks these chunks, pulls them from the first, with what was written.
 * Then the client dies, and a majority goes on without the first member. None of the majority has got these writes. Yet one has their
 * data by its pull, and the others do not (R1, I2).
 */
export const AHEAD_OF_A_PULL: Scheme = {
  name: 'ahead of a pull',
  begin(stage, client, inSync) {
    if (inSync.length < 3 || inSync[0]?.policy?.quorum !== 'majority') return;
    const { cluster } = stage;
    const { network, world } = cluster;
    const [ahead, behind, ...others] = stage.shuffled(inSync);
    if (ahead === undefined || behind === undefined) return;
    fallBehind(stage, client, behind, {
      behind: (endLimit) => {
        const late = cluster.all.filter((node) => node !== ahead);
        for (const node of late) network.slow(client.name, node.name, LATE_MS);
        // Nobody else is there to pull from.
        const heals = others.map((other) => stage.cutOff([behind], other));
        world.after(20 + stage.below(100), () => {
          endLimit();
          const untilMs = world.scheduler.nowMs + PULL_MS_MAX;
          stage.when(client, {
            condition: () => behind.dirtyCount(behind.memberId) === 0 || world.scheduler.nowMs >= untilMs,
            strike: () => goOnWithout(stage, client, ahead),
            after: () => {
              for (const node of late) network.slow(client.name, node.name, 0);
              for (const heal of heals) heal();
            },
          });
        });
      },
    });
  },
};
