import { edit, type Mutant } from '../mutant.ts';
import {
  ASSEMBLE_RULE,
  BIRTH,
  LEG_RETURN,
  LEG_TABLE,
  MEMBERSHIP_OPERATIONS,
  POOL_CONTROL,
  RECOVERY,
  RETURNING_STORES,
  ROLLED_BACK,
  SET_ASIDE,
  STORE_PAST,
  VERSIONS,
} from './files.ts';
import { OLD_VERSIONS_ALONE } from './settings.ts';

/** Older copies of stores, and what happens while they are there. */
const OLDER_COPIES = ['older copy put back', 'client crash', 'node crash', 'power loss', 'client stop', 'node stop', 'partition'];

/** Stores that are not what they seem, members that are elsewhere, and pools that come into being. */
export const STORES: readonly Mutant[] = [
  {
    name: 'a store need not have in its past what others remember of it',
    rule: 'L8',
    edits: [
      edit(
        STORE_PAST,
        'if (life !== undefined) return (life.lastAge ?? age) >= mark.age;',
        'if (life !== undefined || age >= 0) return true;',
      ),
      edit(LEG_RETURN, 'this.#lacksWrites(claim)', 'false'),
    ],
    faults: OLDER_COPIES,
    seeds: 100,
  },
  {
    name: 'only the age of a store counts, and not in which lives it has become so old',
    rule: 'L8',
    edits: [
      edit(
        STORE_PAST,
        'if (life !== undefined) return (life.lastAge ?? age) >= mark.age;',
        'if (life !== undefined || age >= 0) return age >= mark.age;',
      ),
      edit(LEG_RETURN, 'this.#lacksWrites(claim)', 'false'),
    ],
    faults: OLDER_COPIES,
    seeds: 300,
  },
  {
    name: 'a store need not have the versions that it must have recorded',
    rule: 'L8',
    edits: [
      edit(ROLLED_BACK, 'if (lacksVersion(store, entry, rememberer))', 'if (version.seq < 0 && lacksVersion(store, entry, rememberer))'),
    ],
    settings: OLD_VERSIONS_ALONE,
    faults: OLDER_COPIES,
    seeds: 300,
  },
  {
    name: 'a store that went back in time takes part in assembly',
    rule: 'L8, I1',
    edits: [
      edit(SET_ASIDE, 'for (const [leg, found] of rolledBack) {', 'for (const [leg, found] of [...rolledBack].slice(9)) {'),
      edit(
        RECOVERY,
        '[...findRolledBack(claims, lineage, this.#knownThen, this.#legs)]',
        '[...findRolledBack(claims, lineage, this.#knownThen, this.#legs)].slice(9)',
      ),
    ],
    faults: OLDER_COPIES,
    seeds: 100,
  },
  {
    name: 'a member that went back in time is accepted again without being copied',
    rule: 'L8, I5',
    edits: [edit(MEMBERSHIP_OPERATIONS, 'allDirty: [memberId],\n          anew: [memberId],', 'anew: [memberId],')],
    faults: OLDER_COPIES,
    seeds: 100,
  },
  {
    name: 'tables from before a member was copied anew accuse it for ever',
    rule: 'L8, I11',
    edits: [edit(VERSIONS, 'return anew.includes(member.memberId) ? { ...member, anew: { epoch, seq } } : member;', 'return member;')],
    faults: OLDER_COPIES,
    seeds: 300,
  },
  {
    name: 'a member whose store went back in time is not missed where another one of the set was not released',
    rule: 'L8, I1',
    edits: [edit(ASSEMBLE_RULE, 'needed.some((leg) => wasReleased(leg, highest)) &&', 'needed.length > 0 &&')],
    faults: OLDER_COPIES,
    seeds: 600,
  },
  {
    name: 'a member that is away is not missed where another one of the set was released',
    rule: 'assemble rule',
    edits: [edit(ASSEMBLE_RULE, 'away.every((member) => isOld(view, member))', 'away.length > 0')],
    faults: ['client stop', 'node crash', 'crash of several', 'power loss', 'partition', 'older copy put back'],
    seeds: 300,
  },
  {
    name: 'a store does not become older while it is written to',
    rule: 'L8',
    edits: [edit(POOL_CONTROL, 'const ages = store.changedSinceAged &&', 'const ages = store.age < 0 &&')],
    seeds: 60,
  },
  {
    name: 'members do not remember what they hear of the stores of others',
    rule: 'L8',
    edits: [edit(POOL_CONTROL, '{ ages: true, changeMembers: (members) => withMarks(members, marks) }', '{ ages: true }')],
    seeds: 60,
  },
  {
    name: 'what other records of a store vouch for is not told',
    rule: 'L8',
    edits: [edit(POOL_CONTROL, 'if (this.#toldAge < dataAge && dataAge <= age) this.#toldAge = age;', '')],
    seeds: 60,
  },
  {
    name: 'a pool comes into being when all that are named have empty stores',
    rule: 'C0',
    edits: [
      edit(BIRTH, 'if (!this.ordered) {', 'if (legs.length > MEMBERS_LIMIT) {'),
      edit(BIRTH, 'export class Birth {', 'const MEMBERS_LIMIT = 99;\n\nexport class Birth {'),
    ],
    seeds: 60,
  },
  {
    name: "legs lead to where the configuration says, and not to where the pool's table does",
    rule: 'L9, I11',
    edits: [
      edit(
        LEG_TABLE,
        "} else if (!known.moved && known.state !== 'NORMAL' &&",
        "} else if (known.index < 0 && known.state !== 'NORMAL' &&",
      ),
    ],
    seeds: 60,
  },
  {
    name: 'a member that answers only where the configuration names it has not moved',
    rule: 'L9, I11',
    edits: [edit(LEG_TABLE, 'nowMs - sinceMs < MOVED_MS || !isIt(stray)) continue;', 'nowMs >= sinceMs || !isIt(stray)) continue;')],
    faults: ['member moved', 'client crash'],
    seeds: 30,
  },
  {
    name: 'where tables lead a leg elsewhere twice, the configured place is forgotten',
    rule: 'L9, I11',
    edits: [
      edit(
        LEG_TABLE,
        'const configured = this.#options.members.find((each) => each.memberId === memberId);',
        'const configured: MemberAddress | undefined = leg.member;',
      ),
    ],
    faults: ['member moved'],
    seeds: 60,
  },
  {
    name: 'what answers where the configuration names a member is that member, however old its store is',
    rule: 'L8, L9',
    edits: [
      edit(RETURNING_STORES, 'seen === undefined || hasInPast(past, seen)', 'seen === undefined || past.age >= 0 || hasInPast(past, seen)'),
      edit(LEG_RETURN, 'return found === null;', 'return true;'),
      edit(SET_ASIDE, 'for (const [leg, found] of rolledBack) {', 'for (const [leg, found] of [...rolledBack].slice(99)) {'),
      edit(
        RECOVERY,
        '[...findRolledBack(claims, lineage, this.#knownThen, this.#legs)]',
        '[...findRolledBack(claims, lineage, this.#knownThen, this.#legs)].slice(99)',
      ),
    ],
    faults: ['host cloned', 'partition', 'node crash'],
    seeds: 200,
  },
];
