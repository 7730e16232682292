import { DirtyMap } from '@rmr/dirty-map';
import { CLEARED_RUNS_MAX, MAP_CHECK_MS, MAP_CHECK_URGENT_MS } from '../../../constants.ts';
import type { VersionRecord } from '../../../pool-store.ts';
import { mapReadResultSchema } from '../../../wire/control-message.ts';
import { clearedRuns } from '../../map-leaves.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolMaps } from '../pool-maps.ts';

/** Asks members what they have clean by now (R3): a member's own answer is the truth, what the client holds may be dirtier. */
export class MapChecks {
  readonly #host: MapChecksHost;
  #scratch: DirtyMap | null = null;

  constructor(host: MapChecksHost) {
    this.#host = host;
  }

  /** One question, going on where the last one ended. */
  ask(leg: Leg): void {
    this.#ask(leg, leg.nextLeaf, (nextLeaf) => {
      if (nextLeaf !== undefined) leg.nextLeaf = nextLeaf ?? 0;
    });
  }

  /** Asks until the member's whole map is known. `done` gets whether it is; once, never from within. */
  askAll(leg: Leg, done: (known: boolean) => void): void {
    const step = (fromLeaf: number): void =>
      this.#ask(leg, fromLeaf, (nextLeaf) => {
        if (nextLeaf === undefined) done(false);
        else if (nextLeaf === null) done(true);
        else step(nextLeaf);
      });
    step(0);
  }

  /** The same of all of these members. `done` gets whether all of their maps are known; once, at once where there are none. */
  askAllOf(legs: readonly Leg[], done: (known: boolean) => void): void {
    let left = legs.length;
    if (left === 0) done(true);
    for (const leg of legs) {
      this.askAll(leg, (known) => {
        if (left === 0) return;
        left = known ? left - 1 : 0;
        if (left === 0) done(known);
      });
    }
  }

  /** `done` gets where to go on, null at the end, undefined when the answer did not count. */
  #ask(leg: Leg, fromLeaf: number, done: (nextLeaf: number | null | undefined) => void): void {
    const maps = this.#host.maps();
    const held = maps.of(leg.member.memberId);
    leg.call({ op: 'map-check', poolUuid: this.#host.poolUuid, fromLeaf }, mapReadResultSchema, (answer) => {
      // R3 (◆22): a clear counts under the version of its stamp alone.
      const version = this.#host.stamp();
      const counts =
        answer !== null &&
        version !== null &&
        leg.state === 'NORMAL' &&
        maps === this.#host.maps() &&
        answer.stamp?.epoch === version.epoch &&
        answer.stamp.seq === version.seq;
      if (!counts) {
        done(undefined);
        return;
      }
      this.#scratch ??= new DirtyMap(maps.chunkCount);
      const { runs, reason } = clearedRuns(held, this.#scratch, fromLeaf, answer, CLEARED_RUNS_MAX);
      if (reason !== null) {
        this.#host.onMalformed(leg, reason);
        done(undefined);
        return;
      }
      for (const [first, count] of runs) held.clear(first, count);
      if (runs.length > 0) this.#host.onCleared();
      done(runs.length < CLEARED_RUNS_MAX ? answer.nextLeaf : fromLeaf);
    });
  }
}

/** The time between two questions to all members, in milliseconds. `isUrgent`: something waits for the answer. */
export function mapCheckIntervalMs(isUrgent: boolean): number {
  return isUrgent ? MAP_CHECK_URGENT_MS : MAP_CHECK_MS;
}

/** What map checks need from the pool's client. */
export interface MapChecksHost {
  readonly poolUuid: string;
  maps(): PoolMaps;
  /** The version under which clears count now: null while a change is pending. */
  stamp(): VersionRecord | null;
  /** Something has become clean. */
  onCleared(): void;
  onMalformed(leg: Leg, reason: string): void;
}
