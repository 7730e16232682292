import { SILENT_LOGGER } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { LINEAGE, memberOf, OTHER_LINEAGE, probeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ClaimResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { forcedSet, type LineageEvidence, newestLineage } from './lineage.ts';

const THIRD_LINEAGE = '00000000-0000-4000-8000-000000000004';

const of = (lineageUuid: string, ...formerLineages: string[]): LineageEvidence => ({
  version: versionOf(1, [1], { lineageUuid }),
  policy: { formerLineages },
});
const STRANGER: LineageEvidence = { version: null, policy: { formerLineages: [] } };

function probed(memberId: number, version: ClaimResult['version']): Leg {
  const leg = new Leg(memberId - 1, memberOf(memberId), new ScriptedSession().shared, SILENT_LOGGER, () => 0);
  leg.probe = probeOf(memberId, { version });
  return leg;
}

describe('newest lineage', () => {
  test('none where nobody has a version, and the only one where there is one', () => {
    expect([newestLineage([]), newestLineage([STRANGER]), newestLineage([STRANGER, of(LINEAGE), of(LINEAGE)])]).toEqual([
      null,
      null,
      LINEAGE,
    ]);
  });

  test('the one that names all others as former ones, whatever the order', () => {
    const known = [of(LINEAGE), of(OTHER_LINEAGE, LINEAGE), of(THIRD_LINEAGE, LINEAGE, OTHER_LINEAGE)];
    expect([newestLineage(known), newestLineage(known.reverse())]).toEqual([THIRD_LINEAGE, THIRD_LINEAGE]);
  });

  test('unknown where two know nothing of one another', () => {
    expect(newestLineage([of(LINEAGE), of(OTHER_LINEAGE)])).toBeUndefined();
    expect(newestLineage([of(LINEAGE), of(OTHER_LINEAGE, LINEAGE), of(THIRD_LINEAGE, LINEAGE)])).toBeUndefined();
  });
});

test('force: those of the highest set that are there, also one that has not recorded it, and nobody else', () => {
  const highest = versionOf(5, [1, 2, 3]);
  const [holder, joining, outside] = [probed(1, highest), probed(2, versionOf(2, [2, 4])), probed(4, versionOf(2, [2, 4]))];
  expect(forcedSet([holder, joining, outside] as Leg[], highest)).toEqual([holder, joining]);
});
