import { SILENT_LOGGER } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { memberOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import { Leg } from '../legs/leg.ts';
import {
  orderBirth,
  remedyFor,
  remedyForEmptyStore,
  remedyForFailure,
  remedyForLastCopies,
  remedyForLineages,
  remedyForMovedBack,
  remedyForNewerLineage,
  remedyForRolledBack,
  remedyForTwins,
  remedyForUnfit,
} from './remedies.ts';

function legTo(memberId: number, remedy: string | null): Leg {
  const session = new ScriptedSession();
  const leg = new Leg(memberId - 1, memberOf(memberId), session.shared, SILENT_LOGGER, () => 0);
  if (remedy === null) session.cut();
  else leg.remedy = remedy;
  return leg;
}

describe('what a person can do so that members take part', () => {
  test('is nothing that is known, where they answer and nothing was said of them', () => {
    expect([remedyFor([]), remedyFor([legTo(1, '')])]).toEqual([undefined, undefined]);
  });

  test('those that are away are to be brought back, in one sentence, whatever was said of them before', () => {
    expect(remedyFor([legTo(1, null)])).toBe('Start storage-1 or its host, or mend the network to it, unless it comes back by itself.');
    expect(remedyFor([legTo(1, null), legTo(2, null), legTo(3, 'Look.')])).toBe(
      'Start storage-1 and storage-2 or their hosts, or mend the network to them, unless they come back by themselves. Look.',
    );
  });

  test('is said once, though it is the same for several', () => {
    expect(remedyFor([legTo(1, 'Look.'), legTo(2, 'Look.'), legTo(3, 'See.')])).toBe('Look. See.');
  });

  test('where one is in maintenance, to end that, and nothing else', () => {
    expect(remedyFor([legTo(1, 'Look.')], () => true)).toBe(
      'End the maintenance of storage-1 where it was begun: there is no command for it yet.',
    );
  });
});

describe('what helps where a member has refused something', () => {
  const refused = (code: 'UNKNOWN_POOL' | 'STORE_ERROR' | 'HELD' | 'BAD_STATE', clientName: string | null = null): string =>
    remedyForFailure('storage-1', {
      code,
      promise: clientName === null ? null : { epoch: 5, clientInstance: '', clientName, heard: true },
    } as Parameters<typeof remedyForFailure>[1]);

  test('depends on why', () => {
    expect(refused('UNKNOWN_POOL')).toMatch(/^Look at the stores in the status of storage-1: .+ An empty store in its place does not /);
    expect(refused('STORE_ERROR')).toBe('Check the disk of the store on storage-1, its space and the kernel log.');
    expect(refused('HELD', 'client-2')).toBe('Stop client-2 if this node is to serve the pool instead.');
  });

  test('is not known otherwise', () => {
    expect([refused('HELD'), refused('BAD_STATE'), remedyForFailure('storage-1', null)]).toEqual(['', '', '']);
  });
});

/** A reader does what they say. So a step that destroys something comes after those that do not, and names pool and member. */
describe('sentences that tell people to change stores', () => {
  const inOrder = (text: string, ...parts: readonly string[]): void => {
    const places = parts.map((part) => text.indexOf(part));
    expect([places.includes(-1), places]).toEqual([false, [...places].sort((a, b) => a - b)]);
  };

  test('a pool is created only if it is new', () => {
    inOrder(orderBirth('p'), 'If this pool is new,', 'client-node create --pool p', 'If it has had data, do not');
  });

  test('a store that went back in time: it waits for the others first; forcing is the last thing', () => {
    inOrder(remedyForRolledBack(), 'Change nothing', 'copied anew from them by itself', 'put that store in the place', 'client-node force');
  });

  test('one that went back in time elsewhere: the right one is looked for first', () => {
    inOrder(remedyForMovedBack('p', 2), 'Look first', 'If it is lost', 'client-node copy-anew --pool p --member 2.');
  });

  test('last copies: everything else comes before they are given up', () => {
    inOrder(
      remedyForLastCopies('p', 2),
      ...['Bring back', 'lost for good', 'client-node copy-anew --pool p --member 2 --give-up-last-copies', 'what only it had is lost'],
    );
  });

  test('an empty store: it takes the place of one that is lost only', () => {
    inOrder(remedyForEmptyStore('p', 2), 'still exists', 'If it is lost', 'client-node replace-store --pool p --member 2');
  });

  test('two lineages: nothing is copied before it is found out whose data counts; where neither is served, nothing can be', () => {
    inOrder(
      remedyForLineages('p', 2),
      'Find out',
      'client-node copy-anew --pool p --member 2, which destroys',
      'stop the client node first',
    );
    inOrder(remedyForLineages(), 'Find out', 'stop the storage nodes of the others', 'which destroys what only they have');
    expect(remedyForLineages()).not.toContain('undefined');
    inOrder(remedyForNewerLineage(), 'stop it', 'find out', 'copies it over the other');
  });

  test('twins and stores that do not fit: nodes are stopped or corrected, and no store is made', () => {
    inOrder(remedyForTwins(), 'which one was in service last', 'stop the storage node of the other');
    expect(remedyForUnfit('storage-2')).toContain('the stores in the configuration of storage-2');
  });
});
