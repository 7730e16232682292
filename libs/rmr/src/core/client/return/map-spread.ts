import { DirtyMap } from '@rmr/dirty-map';
import { LEAVES_PER_MESSAGE } from '../../../constants.ts';
import { emptyResultSchema, type MapLeaves } from '../../../wire/control-message.ts';
import { applyLeaf, encodeLeaf } from '../../map-leaves.ts';
import type { Leg } from '../legs/leg.ts';
import type { PoolMaps } from '../pool-maps.ts';

/**
 * Map update: stages columns on a member, ahead of the version record that brings them into use. Run it while IO goes
 * on, then once more during the map update: it sends only what has changed since (L4).
 */
export class MapSpread {
  readonly leg: Leg;
  readonly #poolUuid: string;
  readonly #epoch: number;
  readonly #maps: PoolMaps;
  readonly #memberIds: readonly number[];
  /** What is staged there. */
  readonly #sent = new Map<number, DirtyMap>();
  #cancelled = false;

  constructor(leg: Leg, poolUuid: string, epoch: number, maps: PoolMaps, memberIds: readonly number[]) {
    this.leg = leg;
    this.#poolUuid = poolUuid;
    this.#epoch = epoch;
    this.#maps = maps;
    this.#memberIds = memberIds;
  }

  cancel(): void {
    this.#cancelled = true;
  }

  /** The columns as they are now. */
  digests(): ColumnDigest[] {
    return this.#memberIds.map((memberId) => ({ memberId, digest: this.#maps.of(memberId).digest() }));
  }

  /** Leaves that differ from what is staged. */
  differing(): number {
    let count = 0;
    for (const memberId of this.#memberIds) {
      const sent = this.#sent.get(memberId);
      const map = this.#maps.of(memberId);
      for (let leaf = 0; leaf < map.leafCount; leaf++) if (sent === undefined ? !map.leafEmpty(leaf) : !map.leafEquals(leaf, sent)) count++;
    }
    return count;
  }

  /** Brings what is staged in line with the maps as they are when it is sent. `done` gets why that failed, or null. */
  run(done: (failure: string | null) => void): void {
    const columns = [...this.#memberIds];
    const nextColumn = (): void => {
      const memberId = columns.shift();
      if (memberId === undefined) done(null);
      else this.#column(memberId, 0, nextColumn, done);
    };
    nextColumn();
  }

  #column(memberId: number, fromLeaf: number, next: () => void, done: (failure: string | null) => void): void {
    const map = this.#maps.of(memberId);
    let sent = this.#sent.get(memberId);
    const reset = sent === undefined;
    if (sent === undefined) {
      sent = new DirtyMap(map.chunkCount);
      this.#sent.set(memberId, sent);
    }
    const leaves: MapLeaves = [];
    let leaf = fromLeaf;
    for (; leaf < map.leafCount && leaves.length < LEAVES_PER_MESSAGE; leaf++) {
      if (map.leafEquals(leaf, sent)) continue;
      const encoded = encodeLeaf(map, leaf);
      applyLeaf(sent, encoded);
      leaves.push(encoded);
    }
    if (leaves.length === 0 && !reset) {
      next();
      return;
    }
    this.leg.call(
      { op: 'map-stage', poolUuid: this.#poolUuid, epoch: this.#epoch, memberId, reset, leaves },
      emptyResultSchema,
      (result, failure) => {
        if (this.#cancelled) return;
        if (result === null) done(failure?.message ?? 'no answer');
        else if (leaf < map.leafCount) this.#column(memberId, leaf, next, done);
        else next();
      },
    );
  }
}

/** A column that a version record brings into use, with the digest that it must have. */
export interface ColumnDigest {
  readonly memberId: number;
  readonly digest: string;
}
