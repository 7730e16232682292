import { SILENT_LOGGER } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { identityOf, LINEAGE, memberOf, OTHER_LINEAGE, POLICY, POOL, probeOf, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { unfitness, unfitToReturn } from './fitness.ts';

const leg = new Leg(1, memberOf(2), new ScriptedSession().shared, SILENT_LOGGER, () => 0);
const OWN = versionOf(4, [1, 2]);

function toReturn(fields: Partial<ProbeResult> = {}, pool: Partial<Parameters<typeof unfitToReturn>[2]> = {}): string {
  const probe = probeOf(2, { version: OWN, ...fields });
  leg.probe = probe;
  return unfitToReturn(leg, probe, {
    ...{ poolUuid: POOL, queueDepth: 16, lineageUuid: LINEAGE, formerLineages: [], members: [memberOf(1), memberOf(2)] },
    ...{ geometry: { sizeBytes: 16 * 4096, chunkSizeBytes: 4096, fastPunch: true, fastZero: true }, ...pool },
  });
}

describe('a member that answers', () => {
  const unfit = (identity: Partial<ProbeResult['identity']>, queueDepth = 16, isWitness = false): string =>
    unfitness(leg, probeOf(2, { identity: { ...identityOf(2, 16, 4096), ...identity } }), { poolUuid: POOL, queueDepth }, isWitness);

  test('takes part with its store of this pool', () => {
    expect(unfit({})).toBe('');
  });

  test('does not with the store of another pool or member, which is named with the place where it was found', () => {
    expect(unfit({ poolUuid: storeOf(8) })).toBe(`member 2 (storage-2) has a store of pool ${storeOf(8)}`);
    expect(unfit({ memberId: 3 })).toBe(
      `the storage node at memory:2 has store ${storeOf(2)} of member 3, where member 2 (storage-2) is expected`,
    );
  });

  test('does not with the store of a witness where it has data, nor with data where it is a witness', () => {
    expect(unfit({ witness: true })).toBe(
      'member 2 (storage-2) has a store without data, as of a witness, where a member with data is expected',
    );
    for (const data of [{}, { witness: false }])
      expect(unfit(data, 16, true)).toBe('member 2 (storage-2) has a store with data, where a witness is expected');
    expect([unfit({ witness: false }), unfit({ witness: true }, 16, true)]).toEqual(['', '']);
  });

  test('does not with fewer IO units than are configured', () => {
    expect(unfit({}, 17)).toContain('configure queueDepth 16 or less');
  });
});

describe('a member that is to return', () => {
  test('may, with its store of this lineage, of one that was left behind, or without a version', () => {
    expect(toReturn()).toBe('');
    expect(toReturn({ version: null })).toBe('');
    expect(toReturn({ version: versionOf(9, [2], { lineageUuid: OTHER_LINEAGE }) }, { formerLineages: [OTHER_LINEAGE] })).toBe('');
  });

  test('may not with a lineage that this one does not know, nor with one that this one was left behind by', () => {
    const version = versionOf(9, [2], { lineageUuid: OTHER_LINEAGE });
    expect(toReturn({ version })).toContain(`another lineage of this pool (${OTHER_LINEAGE}), which does not descend from`);
    expect(toReturn({ version, policy: { ...POLICY, formerLineages: [LINEAGE] } })).toContain('belongs to a newer lineage');
  });

  test('may not with the store of a witness', () => {
    expect(toReturn({ identity: { ...identityOf(2, 16, 4096), witness: true } })).toContain('has a store without data, as of a witness');
  });

  test('may not where it is no member, or has another store than the pool knows; what that one is, is said', () => {
    const identity = { ...identityOf(2, 16, 4096), storeUuid: storeOf(7) };
    expect(toReturn({}, { members: [memberOf(1)] })).toBe('member 2 (storage-2) is not a member of this pool: add it');
    const where = `where the pool knows ${storeOf(2)}`;
    expect(toReturn({ identity, version: null })).toBe(
      `member 2 (storage-2) has store ${storeOf(7)}, an empty store that was never in service, ${where}`,
    );
    expect(toReturn({ identity })).toBe(
      `member 2 (storage-2) has store ${storeOf(7)}, a store that was in service as version 1.4{1,2}, ${where}`,
    );
  });

  test('may not with a store of another size, and not to a pool of which that is not known', () => {
    const pool = 'and the pool has 64 KiB (65536 bytes) in chunks of 4 KiB';
    expect(toReturn({ identity: identityOf(2, 8, 4096) })).toBe(
      `member 2 (storage-2) has a store for a device of 32 KiB (32768 bytes) in chunks of 4 KiB, ${pool}`,
    );
    expect(toReturn({ identity: { ...identityOf(2, 16, 4096), sizeBytes: 65_536 - 512 } })).toBe(
      `member 2 (storage-2) has a store for a device of 63.5 KiB (65024 bytes) in chunks of 4 KiB, ${pool}`,
    );
    expect(toReturn({ identity: identityOf(2, 8, 8192) })).toContain(`64 KiB (65536 bytes) in chunks of 8 KiB, ${pool}`);
    expect(toReturn({}, { geometry: null })).toContain('and the pool has none yet');
  });
});
