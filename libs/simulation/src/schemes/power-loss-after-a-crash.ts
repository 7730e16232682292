import { type AwaitedMoment, strikeWhen } from '../fault-context.ts';
import type { Scheme, Stage } from './scheme.ts';

/** How long regions are given to leave the write intent by themselves. */
const INTENT_MS = 400;

/**
 * The client dies with writes under way, and the next client makes the members equal (reconciliation). When they are equal, and nothing
 * is suspect any more, a member loses power, and with it what it has not flushed. The others have pulled that from it, so the member
 * must know that it may lack it (L3).
 */
export const POWER_LOSS_AFTER_A_CRASH: Scheme = {
  name: 'power loss after a crash',
  begin(stage, client, inSync) {
    const { cluster, workload, context, moments } = stage;
    if (inSync.length < 2 || moments.awaited('write')) return;
    moments.await('write', () => {
      if (!stage.isStill(client)) return;
      // Nothing is flushed, enters the write intent, or is overwritten until it is over: that would make up for what is forgotten.
      workload.mayChange = false;
      cluster.world.after(stage.below(30) / 10, () => {
        context.crashClient();
        let untilMs = 0;
        inTurn(
          stage,
          [
            {
              condition: () => isWhole(stage),
              strike: () => {
                untilMs = cluster.world.scheduler.nowMs + INTENT_MS;
              },
            },
            {
              condition: () => hasNoSuspects(stage) || cluster.world.scheduler.nowMs >= untilMs,
              strike: () => cluster.losePower([stage.oneOf(cluster.inSync())]),
            },
            // It is back, and equal to the others again.
            { condition: () => isWhole(stage), strike: () => {} },
          ],
          () => {
            workload.mayChange = true;
          },
        );
      });
    });
  },
};

type Step = Pick<AwaitedMoment, 'condition' | 'strike'>;

/** One step after the other, as long as each comes about; `end` is called in any case. */
function inTurn(stage: Stage, [step, ...others]: readonly Step[], end: () => void): void {
  if (step === undefined) {
    end();
    return;
  }
  let struck = false;
  strikeWhen(stage.context, {
    wanted: () => true,
    condition: step.condition,
    strike: () => {
      struck = true;
      step.strike();
    },
    after: () => {
      if (struck) inTurn(stage, others, end);
      else end();
    },
  });
}

/** Every member of the set is there, and nothing is dirty. */
function isWhole({ cluster }: Stage): boolean {
  const members = cluster.inSync();
  return cluster.settled && members.length > 1 && members.every((node) => node.store !== null && node.dirtyCount(node.memberId) === 0);
}

/** The write intent of every member of the set is empty. */
function hasNoSuspects({ cluster }: Stage): boolean {
  return cluster.inSync().every((node) => node.store?.bitmapStore.intentRanges().length === 0);
}
