import type { OperationErrorCode } from '@rmr/runtime';
import { GIB, MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { type CheckedPlace, checkPlace, type StorePurpose, type WantedStore } from './disk-checks.ts';
import type { FoundStore, PlaceContent } from './disk-types.ts';

const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;
const [STORE, OTHER_STORE, POOL, OTHER_POOL, LIFE, OTHER_LIFE] = [1, 2, 3, 4, 5, 6].map(uuid) as [
  string,
  string,
  string,
  string,
  string,
  string,
];

const WANTED: WantedStore = {
  storeUuid: STORE,
  poolUuid: POOL,
  poolName: 'vm-1',
  memberId: 2,
  totalBytes: 10 * GIB,
  metadataBytes: 8 * MIB,
  seen: { lifeUuid: LIFE, age: 50 },
};

const LIVES = [{ lifeUuid: LIFE, firstAge: 1, lastAge: null, openedAtMs: 0 }];

/** The store of the member that is wanted, as new as anybody remembers it. */
function store({ age = 60, lives = LIVES, ...overrides }: Partial<FoundStore & NonNullable<FoundStore['past']>> = {}): PlaceContent {
  const found: Partial<FoundStore> = {
    storeUuid: STORE,
    poolUuid: POOL,
    poolName: 'vm-1',
    memberId: 2,
    past: { version: null, age, lives },
    ...overrides,
  };
  return { kind: 'store', store: found as FoundStore };
}

function place(overrides: Partial<CheckedPlace> = {}): CheckedPlace {
  return {
    label: 'disk "a" (/dev/sdb)',
    content: { kind: 'empty' },
    unavailable: null,
    use: null,
    roomBytes: 10 * GIB,
    freeBytes: null,
    sectorBytes: 512,
    neighbours: [],
    ...overrides,
  };
}

const content = (found: PlaceContent) => place({ content: found });
const OK = 'ok';
type Verdict = OperationErrorCode | typeof OK;

/** What may be on a disk, and what creating, attaching and replacing a store there make of it. */
const MATRIX: readonly [string, CheckedPlace, Verdict, Verdict, Verdict][] = [
  ['empty', place(), OK, 'STORE_NOT_FORMATTED', OK],
  ['empty, with sectors of 4 KiB', place({ sectorBytes: 4096 }), OK, 'STORE_NOT_FORMATTED', OK],
  ['same pool: the store itself', content(store()), 'ALREADY_EXISTS', OK, 'ALREADY_EXISTS'],
  [
    'same pool: another store of this member',
    content(store({ storeUuid: OTHER_STORE })),
    'ALREADY_EXISTS',
    'STORE_FOREIGN',
    'ALREADY_EXISTS',
  ],
  ['other pool of the same name', content(store({ poolUuid: OTHER_POOL })), 'ALREADY_EXISTS', 'STORE_FOREIGN', 'ALREADY_EXISTS'],
  [
    'other pool',
    content(store({ poolUuid: OTHER_POOL, poolName: 'vm-2', storeUuid: OTHER_STORE })),
    'ALREADY_EXISTS',
    'STORE_FOREIGN',
    'ALREADY_EXISTS',
  ],
  ['older copy of this member: it ends too early', content(store({ age: 49 })), 'ALREADY_EXISTS', 'CONFLICT', 'ALREADY_EXISTS'],
  [
    'older copy of this member: used elsewhere since',
    content(store({ age: 900, lives: [{ lifeUuid: OTHER_LIFE, firstAge: 1, lastAge: null, openedAtMs: 0 }] })),
    'ALREADY_EXISTS',
    'CONFLICT',
    'ALREADY_EXISTS',
  ],
  ["another member's disk", content(store({ memberId: 1, storeUuid: OTHER_STORE })), 'ALREADY_EXISTS', 'STORE_FOREIGN', 'ALREADY_EXISTS'],
  [
    'store of a newer format',
    content({ kind: 'newer', reason: 'version 9' }),
    'STORE_VERSION_UNKNOWN',
    'STORE_VERSION_UNKNOWN',
    'STORE_VERSION_UNKNOWN',
  ],
  ['damaged metadata', content({ kind: 'damaged', reason: 'both superblocks' }), 'STORE_DAMAGED', 'STORE_DAMAGED', 'STORE_DAMAGED'],
  ['a store that ends too early', content({ kind: 'cut', reason: 'shortened' }), 'STORE_DAMAGED', 'STORE_TOO_SMALL', 'STORE_DAMAGED'],
  [
    'foreign data',
    content({ kind: 'foreign', findings: [{ name: 'an ext4 file system', offsetBytes: 1080 }] }),
    'CONFLICT',
    'STORE_NOT_FORMATTED',
    'CONFLICT',
  ],
  ['data of an unknown kind', content({ kind: 'data', offsetBytes: 7 }), 'CONFLICT', 'STORE_NOT_FORMATTED', 'CONFLICT'],
  ['too small', place({ roomBytes: 10 * GIB - 1 }), 'STORE_TOO_SMALL', 'STORE_NOT_FORMATTED', 'STORE_TOO_SMALL'],
  [
    'a directory that has promised too much',
    place({ roomBytes: 10 * GIB - 1, freeBytes: GIB }),
    'NO_SPACE',
    'STORE_NOT_FORMATTED',
    'NO_SPACE',
  ],
  [
    'a directory without space for metadata',
    place({ roomBytes: 90 * GIB, freeBytes: 8 * MIB - 1 }),
    'NO_SPACE',
    'STORE_NOT_FORMATTED',
    'NO_SPACE',
  ],
  ['other sector size', place({ sectorBytes: 16_384 }), 'UNSUPPORTED', 'UNSUPPORTED', 'UNSUPPORTED'],
  ['other sector size, with the store', place({ sectorBytes: 16_384, content: store() }), 'UNSUPPORTED', 'UNSUPPORTED', 'UNSUPPORTED'],
  ['a wiping that was cut short', content({ kind: 'wiping', storeUuid: OTHER_STORE }), OK, 'STORE_NOT_FORMATTED', OK],
  ['the wiping of this very store', content({ kind: 'wiping', storeUuid: STORE }), 'CONFLICT', 'STORE_NOT_FORMATTED', 'CONFLICT'],
  ['a creation that was cut short', content({ kind: 'unfinished' }), OK, 'STORE_NOT_FORMATTED', OK],
  ['mounted', place({ use: 'mounted at /srv' }), 'CONFLICT', 'CONFLICT', 'CONFLICT'],
  ['it does not answer', place({ unavailable: { code: 'TIMEOUT', sentence: 'it hangs' } }), 'TIMEOUT', 'TIMEOUT', 'TIMEOUT'],
  ['it can not be read', content({ kind: 'unreadable', code: 'IO_ERROR', reason: 'EIO' }), 'IO_ERROR', 'IO_ERROR', 'IO_ERROR'],
  [
    'another member of the pool beside it',
    place({ neighbours: [{ poolUuid: POOL, memberId: 1 }] }),
    'CONFLICT',
    'STORE_NOT_FORMATTED',
    'CONFLICT',
  ],
  ['another pool beside it', place({ neighbours: [{ poolUuid: OTHER_POOL, memberId: 1 }] }), OK, 'STORE_NOT_FORMATTED', OK],
];

const PURPOSES: readonly StorePurpose[] = ['create', 'attach', 'replace'];

test.each(MATRIX)('the wrong-disk matrix: %s', (_what, found, ...verdicts) => {
  const decided = PURPOSES.map((purpose) => checkPlace(purpose, found, WANTED)?.code ?? OK);
  expect(decided).toEqual(verdicts);
});

test('a refusal says what is there, why it matters, and what to do', () => {
  for (const [what, found] of MATRIX) {
    for (const purpose of PURPOSES) {
      const refusal = checkPlace(purpose, found, WANTED);
      if (refusal === null || found.unavailable !== null) continue;
      expect([what, purpose, refusal.sentence]).toEqual([what, purpose, expect.stringMatching(/^disk "a" \(\/dev\/sdb\) .{20}/)]);
    }
  }
  expect(checkPlace('create', content(store({ poolUuid: OTHER_POOL })), WANTED)?.sentence).toBe(
    `disk "a" (/dev/sdb) holds the store ${STORE} of member 2 of pool "vm-1" (${OTHER_POOL}), which is another pool of the same name. It was never in service. Creating a store here would destroy it, and what only it has would be lost for good. Take another disk; or, if nobody needs ${STORE} any more, wipe it first`,
  );
});

test('an older copy is attached, and two members share a disk, when an operator accepts that', () => {
  expect(checkPlace('attach', content(store({ age: 49 })), { ...WANTED, acceptOlderCopy: true })).toBe(null);
  const shared = place({ neighbours: [{ poolUuid: POOL, memberId: 1 }] });
  expect(checkPlace('create', shared, { ...WANTED, acceptSameDisk: true })).toBe(null);
});

test('a store that nobody remembers is attached as it is', () => {
  const { seen: _, ...unremembered } = WANTED;
  expect(checkPlace('attach', content(store({ age: 1 })), unremembered)).toBe(null);
});

test('a former store of the same member beside it is no neighbour', () => {
  expect(checkPlace('replace', place({ neighbours: [{ poolUuid: POOL, memberId: 2 }] }), WANTED)).toBe(null);
});
