import { GIB, KIB, MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { POLICY_DEFAULT } from '../format/entries.ts';
import { EntryType } from '../format/entry.ts';
import { computeLayout } from '../format/layout.ts';
import { entryBytes, entryPayloadBytes, entryType, RECORD_HEADER_BYTES, RecordWriter } from '../format/record.ts';
import { BOOT_1 } from '../testing/store-rig.ts';
import { StoreState } from './store-state.ts';

const GEOMETRY = { sizeBytes: GIB, chunkSizeBytes: 128 * KIB, queueDepth: 128, regionBytes: 4 * MIB, journalBytes: MIB, witness: false };
const USAGE = { volatileLost: false, cleanShutdown: true, released: false, bootId: BOOT_1, openCount: 1 };

/** Types of the entries in the home record of such a state. */
function homeEntryTypes(state: StoreState): number[] {
  const writer = new RecordWriter();
  writer.begin();
  state.addTo(writer);
  const types: number[] = [];
  for (let at = RECORD_HEADER_BYTES; at < writer.lengthBytes; at += entryBytes(entryPayloadBytes(writer.bytes, at))) {
    types.push(entryType(writer.bytes, at));
  }
  return types;
}

test('a home record has a policy entry only where the policy says something: others stay readable for programs that do not know it', () => {
  const state = new StoreState(computeLayout(GEOMETRY), USAGE);
  expect(homeEntryTypes(state)).not.toContain(EntryType.POLICY);
  for (const change of [{ quorum: 'majority' as const }, { highestMemberId: 1 }, { formerLineages: [BOOT_1] }]) {
    state.policy = { ...POLICY_DEFAULT, ...change };
    expect(homeEntryTypes(state)).toContain(EntryType.POLICY);
  }
  state.policy = { quorum: 'none', highestMemberId: 0, formerLineages: [] };
  expect(homeEntryTypes(state)).not.toContain(EntryType.POLICY);
});
