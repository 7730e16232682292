import type { DirtyMap } from '@rmr/dirty-map';
import { Status } from '@rmr/runtime';
import { MAP_IO_BYTES, MEMBER_SLOTS, PAGE_BYTES, ZERO_STEP_BYTES } from '../constants.ts';
import { HOME_A_OFFSET, HOME_B_OFFSET, mapOffset } from '../format/layout.ts';
import { encodeMapPage } from '../format/map-sector.ts';
import { RecordMagic, RecordWriter } from '../format/record.ts';
import { mapSeed } from '../format/superblock.ts';
import { FLUSH_STEP, type Procedure } from './procedure.ts';
import type { StagedMap, StoreState } from './store-state.ts';

/**
 * Brings the home areas up to date and says so in a new home record: changed map pages, flush, home record, flush.
 * Every journal record below `tail` is then no longer needed. Pages and record may contain later changes as well:
 * only what is durable in the journal is ever in memory, and replaying it again changes nothing. Returns a status;
 * after an error all that was to be written still counts as changed.
 */
export function* checkpoint(state: StoreState, seed: number, tail: number, generation: number, homeIndex: number): Procedure<number> {
  const written: number[] = [];
  let status = yield* writeChangedPages(state, seed, written);
  if (status === Status.OK) status = yield FLUSH_STEP;
  if (status === Status.OK) status = yield* writeHome(state, seed, tail, generation, homeIndex);
  if (status !== Status.OK) {
    for (let i = 0; i < written.length; i += 2) state.pageChanged(written[i] as number, written[i + 1] as number);
  }
  return status;
}

/** Writes one of the two home records and flushes. */
export function* writeHome(state: StoreState, seed: number, tail: number, generation: number, homeIndex: number): Procedure<number> {
  const writer = new RecordWriter();
  writer.begin();
  state.addTo(writer);
  const source = writer.finish(RecordMagic.HOME, generation, tail, seed);
  const status = yield { kind: 'write', offsetBytes: homeIndex === 0 ? HOME_A_OFFSET : HOME_B_OFFSET, source };
  if (status !== Status.OK) return status;
  return yield FLUSH_STEP;
}

function* writeChangedPages(state: StoreState, seed: number, written: number[]): Procedure<number> {
  if (state.changedPageCount === 0) return Status.OK;
  const buffer = new Uint8Array(MAP_IO_BYTES);
  for (let slot = 0; slot < MEMBER_SLOTS; slot++) {
    const pages = state.changedPages[slot] as Uint8Array;
    for (let page = pages.indexOf(1); page >= 0; page = pages.indexOf(1, page)) {
      const side = state.sides[slot] as number;
      const areaSeed = mapSeed(seed, slot, side);
      const first = page;
      let bytes = 0;
      while (page < pages.length && pages[page] === 1 && bytes < buffer.length) {
        encodeMapPage(buffer, bytes, (state.maps[slot] as DirtyMap).leafBytes(page), page, areaSeed);
        state.pageWritten(slot, page);
        written.push(slot, page);
        bytes += PAGE_BYTES;
        page++;
      }
      const offsetBytes = mapOffset(state.layout, slot, side) + first * PAGE_BYTES;
      const status = yield { kind: 'write', offsetBytes, source: buffer.subarray(0, bytes) };
      if (status !== Status.OK) return status;
    }
  }
  return Status.OK;
}

/** Writes whole maps to the sides that are not in use, and flushes. Nothing refers to them before a record does. The sides keep their space. */
export function* writeStagedMaps(state: StoreState, seed: number, staged: readonly StagedMap[]): Procedure<number> {
  const buffer = new Uint8Array(MAP_IO_BYTES);
  for (const { slot, map } of staged) {
    const side = 1 - (state.sides[slot] as number);
    const areaSeed = mapSeed(seed, slot, side);
    const base = mapOffset(state.layout, slot, side);
    for (let from = 0; from < state.layout.mapBytes; from += ZERO_STEP_BYTES) {
      const lengthBytes = Math.min(ZERO_STEP_BYTES, state.layout.mapBytes - from);
      const status = yield { kind: 'zero', offsetBytes: base + from, lengthBytes };
      if (status !== Status.OK) return status;
    }
    for (let page = 0; page < map.leafCount; page++) {
      const first = page;
      let bytes = 0;
      while (page < map.leafCount && !map.leafEmpty(page) && bytes < buffer.length) {
        encodeMapPage(buffer, bytes, map.leafBytes(page), page, areaSeed);
        bytes += PAGE_BYTES;
        page++;
      }
      if (bytes === 0) continue;
      const status = yield { kind: 'write', offsetBytes: base + first * PAGE_BYTES, source: buffer.subarray(0, bytes) };
      if (status !== Status.OK) return status;
      page--;
    }
  }
  return yield FLUSH_STEP;
}
