import { fallBehind, lackedChunks } from './fall-behind.ts';
import type { Scheme } from './scheme.ts';

/** What the member reads is on its way for so long, at least and at most. */
const PULL_MS_MIN = 20;
const PULL_MS_MAX = 200;
/** By so much a write comes later to the others than what the member reads of them. */
const WRITE_MS = 8;

/**
 * A member lacks a chunk, and a partial write of the chunk waits there. The member pulls the chunk from another member, which is about to
 * get the write, too. When the first member has the chunk, without the write, the client dies. The second has the data of the write, and
 * the first does not. So the `lastIo` of the second has to name the write, even if the first has given it back to the client (L4, W1).
 */
export const BOUNCED_AT_A_CRASH: Scheme = {
  name: 'bounced at a crash',
  begin(stage, client, inSync) {
    if (inSync.length < 2) return;
    const { cluster, workload } = stage;
    const { network } = cluster;
    const behind = stage.oneOf(inSync);
    const others = cluster.nodes.filter((node) => node !== behind);
    fallBehind(stage, client, behind, {
      behind: (endLimit) => {
        const pullMs = PULL_MS_MIN + stage.below(PULL_MS_MAX - PULL_MS_MIN);
        for (const other of others) {
          network.slow(client.name, other.name, WRITE_MS);
          network.slow(other.name, behind.name, pullMs);
        }
        const chunks = lackedChunks(stage, behind);
        const chunk = chunks.length === 0 ? undefined : stage.oneOf(chunks);
        if (chunk !== undefined) workload.overwritePart(chunk);
        stage.when(client, {
          condition: () => chunk === undefined || !behind.isDirty(behind.memberId, chunk),
          strike: () => stage.context.crashClient(),
          after: () => {
            endLimit();
            for (const other of others) {
              network.slow(client.name, other.name, 0);
              network.slow(other.name, behind.name, 0);
            }
          },
        });
      },
    });
  },
};
