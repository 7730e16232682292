import type { Scheme } from './scheme.ts';

/**
 * A sector of one member goes bad where something has just been written and is not flushed. Before anybody reads it, all or some members
 * lose power. All copies are suspect then, and the one that can't be read must not be chosen (I1, I8).
 */
export const BAD_SECTOR_AT_A_POWER_LOSS: Scheme = {
  name: 'bad sector at a power loss',
  begin(stage, client, inSync) {
    const { cluster, context, moments } = stage;
    if (inSync.length < 2 || moments.awaited('acknowledged')) return;
    moments.await('acknowledged', () => {
      if (!stage.isStill(client)) return;
      const node = stage.oneOf(inSync);
      const suspect = stage.shuffled(cluster.geometry.hotChunks.filter((chunk) => node.isSuspect(chunk, cluster.geometry)));
      if (!suspect.some((chunk) => context.breakSector(node, chunk))) return;
      const dark = stage.chance(80) ? cluster.nodes : [stage.oneOf(inSync)];
      cluster.world.after(stage.below(30) / 10, () => {
        if (context.on) cluster.losePower(dark);
      });
    });
  },
};
