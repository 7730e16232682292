import type { SimulatedClient, SimulatedStorageNode } from '../simulated-nodes.ts';
import type { Scheme, Stage } from './scheme.ts';

/** How often the next client is looked for, to keep it from a member. */
const KEEP_AWAY_MS = 50;
const KEEP_AWAY_TIMES = 100;

/**
 * Writes reach one member before all others. Then the client dies, and that member is cut off. Where a majority does without it, it
 * comes back with writes that no other member ever had (◆18).
 */
export const AHEAD_AT_A_CRASH: Scheme = {
  name: 'ahead at a crash',
  begin(stage, client, inSync) {
    const { network, world, all } = stage.cluster;
    if (all.length < 2) return;
    const ahead = stage.oneOf(inSync);
    const others = all.filter((node) => node !== ahead);
    for (const other of others) network.slow(client.name, other.name, 100 + stage.below(400));
    world.after(20 + stage.below(80), () => {
      for (const other of others) network.slow(client.name, other.name, 0);
      if (stage.isStill(client)) goOnWithout(stage, client, ahead);
    });
  },
};

/**
 * The client dies. What it has sent to other members than this one, and they have not got yet, is lost. This member is cut off until the
 * pool is served without it, or for some seconds.
 */
export function goOnWithout(stage: Stage, client: SimulatedClient, ahead: SimulatedStorageNode): void {
  const { cluster, context } = stage;
  const { network, world } = cluster;
  const others = cluster.all.filter((node) => node !== ahead);
  for (const other of others) network.cut(client.name, other.name);
  const heal = stage.cutOff(others, ahead);
  context.crashClient();
  // The next client does not reach it either.
  let left = KEEP_AWAY_TIMES;
  const keepAway = (): void => {
    const next = cluster.client;
    if (next !== null) network.partition(next.name, ahead.name);
    if (!stage.isOut(ahead) && --left > 0 && context.on) {
      world.after(KEEP_AWAY_MS, keepAway);
      return;
    }
    heal();
    if (next !== null) network.heal(next.name, ahead.name);
  };
  keepAway();
}
