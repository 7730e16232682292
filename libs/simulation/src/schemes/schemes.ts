import type { FaultContext } from '../fault-context.ts';
import type { Moments } from '../moments.ts';
import type { Workload } from '../workload.ts';
import { AHEAD_AT_A_CRASH } from './ahead-at-a-crash.ts';
import { AHEAD_OF_A_PULL } from './ahead-of-a-pull.ts';
import { BAD_SECTOR_AT_A_POWER_LOSS } from './bad-sector-at-a-power-loss.ts';
import { BOUNCED_AT_A_CRASH } from './bounced-at-a-crash.ts';
import { LAST_KEEPER_OUT } from './last-keeper-out.ts';
import { LATE_PULL } from './late-pull.ts';
import { ONLY_COPY_AWAY } from './only-copy-away.ts';
import { POWER_LOSS_AFTER_A_CRASH } from './power-loss-after-a-crash.ts';
import { POWER_LOSS_AT_A_RECORD } from './power-loss-at-a-record.ts';
import { type Scheme, Stage } from './scheme.ts';
import { SUPERSEDED_ADDITION } from './superseded-addition.ts';
import { UNFLUSHED_COPY_AWAY } from './unflushed-copy-away.ts';

/** Carries schemes out. A run has one at most, and repeats it. */
export class Schemes {
  readonly counts = new Map<string, number>();
  readonly #stage: Stage;
  readonly #scheme: Scheme | null;

  /** `wanted`: kinds of faults; a scheme among them is carried out. Null: that is drawn. */
  constructor(context: FaultContext, workload: Workload, moments: Moments, seed: number, wanted: readonly string[] | null) {
    this.#stage = new Stage(context, workload, moments, seed);
    const drawn = this.#stage.chance(RUNS_PERCENT) ? this.#stage.oneOf(SCHEMES) : null;
    this.#scheme = SCHEMES.find(({ name }) => wanted?.includes(name)) ?? (wanted === null ? drawn : null);
  }

  start(): void {
    if (this.#scheme !== null) this.#later(this.#scheme);
  }

  #later(scheme: Scheme): void {
    const { cluster, context } = this.#stage;
    cluster.world.after(1_000 + this.#stage.below(6_000), () => {
      if (!context.on) return;
      const { client, rival, draining, settled } = cluster;
      const inSync = cluster.inSync().filter((node) => node.store !== null);
      if (client !== null && rival === null && !draining && !client.paused && settled && inSync.length > 0) {
        cluster.world.log.info('fault', { kind: scheme.name });
        this.counts.set(scheme.name, (this.counts.get(scheme.name) ?? 0) + 1);
        scheme.begin(this.#stage, client, inSync);
      }
      this.#later(scheme);
    });
  }
}

/** Percentage of runs in which a scheme is carried out, again and again. */
const RUNS_PERCENT = 12;

const SCHEMES: readonly Scheme[] = [
  ONLY_COPY_AWAY,
  AHEAD_AT_A_CRASH,
  LAST_KEEPER_OUT,
  POWER_LOSS_AT_A_RECORD,
  LATE_PULL,
  AHEAD_OF_A_PULL,
  BOUNCED_AT_A_CRASH,
  POWER_LOSS_AFTER_A_CRASH,
  BAD_SECTOR_AT_A_POWER_LOSS,
  SUPERSEDED_ADDITION,
  UNFLUSHED_COPY_AWAY,
];

/** Names of all schemes: they count as kinds of faults. */
export const SCHEME_NAMES: readonly string[] = SCHEMES.map(({ name }) => name);
