import type { Scheme } from './scheme.ts';

/** Power is lost while a record of more than one sector is on its way to the disk. The record is torn, or complete, or not there. */
export const POWER_LOSS_AT_A_RECORD: Scheme = {
  name: 'power loss at a record',
  begin(stage) {
    const { cluster, context, moments } = stage;
    if (moments.awaited('record')) return;
    moments.await('record', (node) => {
      cluster.world.after(stage.below(3) / 10, () => {
        if (context.on && node !== null) cluster.losePower([node]);
      });
    });
  },
};
