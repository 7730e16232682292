import { edit, type Mutant } from '../mutant.ts';
import {
  ASSEMBLY,
  BITMAP_STORE,
  ENGINE,
  FIRST_VERSION,
  MAP_ADDS,
  MAP_CHECKS,
  MEMBER_RECORDS,
  OPEN_STORE,
  POOL_CLIENT,
  POOL_CONTROL,
  POOL_SERVER,
  RECOVERY,
  RESYNC,
  STORE_ADAPTER,
  SYNC_PEERS,
  VERSIONS,
  WRITE_INTENT,
} from './files.ts';
import { JOURNAL_APART, MAJORITY_OF_THREE, METADATA_APART, SMALL_INTENT, THREE_MEMBERS } from './settings.ts';

/** One or more for every mark of docs/protocol.md: each stands for a rule that was shown to be necessary. */
export const MARKED: readonly Mutant[] = [
  {
    name: 'probes and grants show the promised epoch as that of the version',
    mark: 1,
    rule: 'state',
    edits: [
      edit(
        POOL_CONTROL,
        'copyVersion(this.#store.version),\n      members',
        'copyVersion(this.#store.version && { ...this.#store.version, epoch: Math.max(this.#store.version.epoch, this.#store.promise?.epoch ?? 0) }),\n      members',
      ),
      edit(
        POOL_CONTROL,
        'copyVersion(this.#store.version),\n        members',
        'copyVersion(this.#store.version && { ...this.#store.version, epoch: Math.max(this.#store.version.epoch, this.#serving.epoch - 1) }),\n        members',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'lastIo is not recorded',
    mark: 2,
    rule: 'W3',
    edits: [edit(POOL_SERVER, 'this.#store.recordLastIo(message.ioUnit, message.writeSeq, offsetBytes, lengthBytes);', '')],
    seeds: 300,
  },
  {
    name: 'lastIo stays in the memory of the process',
    mark: 3,
    rule: 'W3',
    edits: [edit(BITMAP_STORE, 'submitLastIo(): boolean {', 'submitLastIo(): boolean {\n    if (this.#ticks >= 0) return true;')],
    seeds: 300,
  },
  {
    name: 'data overtakes lastIo',
    mark: 3,
    rule: 'W3',
    edits: [
      edit(
        STORE_ADAPTER,
        'if (this.#store.submitLastIo()) this.#release();',
        'this.#release();\n      if (this.#store.submitLastIo()) this.#release();',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'regions do not enter the write intent',
    mark: 4,
    rule: 'W3',
    edits: [edit(BITMAP_STORE, 'let ready = this.#state.intent.touch(firstRegion, lastRegion, writeSeq);', 'let ready = true;')],
    seeds: 300,
  },
  {
    name: 'the write intent of members that lost volatile state is ignored',
    mark: 4,
    rule: 'reconciliation',
    edits: [edit(ASSEMBLY, 'grant.volatileLost ? chunksOf(maps, grant.intent) : null', 'null')],
    seeds: 300,
  },
  {
    name: 'a write of whole dirty chunks clears before its data is written',
    mark: 5,
    rule: 'W4',
    edits: [
      edit(
        POOL_SERVER,
        'const current = slots.epochs[tag] === this.#serving.epoch;',
        `const current = slots.epochs[tag] === this.#serving.epoch;
    if (slots.phases[tag] === Phase.REPLACE_PREPARE && status === Status.OK && ((slots.flags[tag] as number) & 0x80) === 0) {
      slots.flags[tag] = (slots.flags[tag] as number) | 0x80;
      const early = (slots.replaced[tag] as number[]).map((chunk) => this.#own.rangeOf(chunk));
      this.#store.commit({ dirtyClear: [{ memberIds: [this.#store.identity.memberId], ranges: early }] }, (cleared) => this.#replaceGoesOn(tag, cleared));
      this.#world.turn.defer(this);
      return;
    }`,
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a write of whole dirty chunks clears without a flush of its data',
    mark: 5,
    rule: 'W4',
    settings: JOURNAL_APART,
    edits: [
      edit(
        POOL_SERVER,
        'slots.phases[tag] = Phase.REPLACE_FLUSH;',
        'slots.phases[tag] = Phase.REPLACE_FLUSH;\n        if (tag >= 0) {\n          this.#replaceGoesOn(tag, Status.OK);\n          return;\n        }',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a write completes while a version change is pending',
    mark: 6,
    rule: 'W5',
    edits: [edit(ENGINE, 'if (this.gate.versionPending || !isLegWide(request)', 'if (!isLegWide(request)')],
    seeds: 300,
  },
  {
    name: 'regions leave the write intent without a flush',
    mark: 7,
    rule: 'W7',
    settings: [...METADATA_APART, ...SMALL_INTENT],
    edits: [edit(WRITE_INTENT, '<= this.#flushedThrough', '<= this.#completedThrough')],
    seeds: 300,
  },
  {
    name: 'regions leave the write intent before their newest write is resolved',
    mark: 7,
    rule: 'W7',
    settings: SMALL_INTENT,
    edits: [edit(WRITE_INTENT, '<= this.#flushedThrough', '<= Number.MAX_VALUE')],
    seeds: 300,
  },
  {
    // With every return the members in sync get maps, and staging these flushes their data.
    name: 'a flush is acknowledged while a chunk is dirty for every in-sync member',
    mark: 8,
    rule: 'flush',
    settings: METADATA_APART,
    faults: ['only copy away'],
    edits: [edit(ENGINE, 'if (this.#host.flushMustWait()) return;', '')],
    seeds: 300,
  },
  {
    name: 'a grant raises the version to the epoch that was promised before',
    mark: 9,
    rule: 'V1',
    edits: [
      edit(
        POOL_CONTROL,
        'this.#store.commit({ promise: granted }, ',
        `const held = this.#store.version;
      const raised = promise === null || held === null ? {} : { version: { ...held, epoch: Math.max(held.epoch, promise.epoch) } };
      this.#store.commit({ promise: granted, ...raised }, `,
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a shrink is relied on when the first member has recorded it',
    mark: 10,
    rule: 'V2',
    edits: [
      edit(VERSIONS, 'let left = targets.length;', 'let left = joining === undefined ? 1 : targets.length;'),
      edit(VERSIONS, 'owed.push(...result.owed);', 'if (left < 1) return;\n        owed.push(...result.owed);'),
    ],
    seeds: 300,
  },
  {
    name: 'a map update that failed is not superseded by another version',
    mark: 11,
    rule: 'V4',
    edits: [
      edit(
        POOL_CLIENT,
        'if (updatesMaps && this.#legs.inSync.length > 0) this.#changeVersion();',
        'if (updatesMaps && this.#legs.inSync.length > 0) this.#engine.setVersion(this.#epoch, this.#versions.current?.seq ?? 0, this.#versions.missing());',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a client that goes on by itself forgets its attempts',
    mark: 11,
    rule: 'V4, L5',
    edits: [edit(VERSIONS, 'attempts.every((attempt)', 'attempts.slice(99).every((attempt)')],
    seeds: 300,
  },
  {
    name: 'a returning member relies on those that had left before it',
    mark: 19,
    rule: 'L3',
    edits: [edit(POOL_CLIENT, 'leftBefore: (memberId) => leftBefore(this.#versions.members, memberId),', 'leftBefore: () => [],')],
    settings: THREE_MEMBERS,
    faults: ['last keeper out'],
    seeds: 300,
  },
  {
    name: 'the last clean bit is set',
    mark: 12,
    rule: 'V5',
    edits: [edit(MAP_ADDS, 'if (chunk < 0) break;', 'if (chunk < endChunk) break;')],
    seeds: 300,
  },
  {
    name: 'a member that is out of the set counts as a copy that remains',
    mark: 12,
    rule: 'V5',
    edits: [
      edit(
        MAP_ADDS,
        'const others = inSync.filter(({ memberId }) => !memberIds',
        "const others = members.filter(({ memberId, role }) => role !== 'witness' && !memberIds",
      ),
    ],
    settings: THREE_MEMBERS,
    faults: ['unflushed copy away'],
    seeds: 300,
  },
  {
    name: 'a write is acknowledged while its map add is owed',
    mark: 13,
    rule: 'V5',
    edits: [edit(ENGINE, 'overlapsAny(request, this.#owed)', 'unit < 0 && overlapsAny(request, this.#owed)')],
    seeds: 300,
  },
  {
    name: "a stale holder's columns count",
    mark: 14,
    rule: 'assembly',
    edits: [edit(ASSEMBLY, 'if (highest === null) return', 'if (highest === null || grants.length > 0) return')],
    seeds: 300,
  },
  {
    name: 'a member that has left and come back meanwhile speaks for itself',
    mark: 14,
    rule: 'assembly',
    edits: [
      edit(
        MEMBER_RECORDS,
        'return joined !== undefined && (joined.epoch',
        'return joined !== undefined && (joined.epoch >= 0 || joined.epoch',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a client that comes back reconciles under the version that it had',
    mark: 15,
    rule: 'reconciliation',
    edits: [
      edit(
        RECOVERY,
        'const epoch = this.#highestEpochSeen + 1;',
        'const epoch = this.#servedEpoch > 0 && this.#servedEpoch === this.#highestEpochSeen ? this.#servedEpoch : this.#highestEpochSeen + 1;',
      ),
      edit(FIRST_VERSION, 'epoch, seq: 1, inSync,', 'epoch, seq: highest?.epoch === epoch ? highest.seq : 1, inSync,'),
      edit(
        FIRST_VERSION,
        "assert(forced || highest === null || compareVersions(version, highest) > 0, 'V1: a version does not rise');",
        '',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a changed boot id is not noticed',
    mark: 16,
    rule: 'L2, L6',
    edits: [edit(OPEN_STORE, 'usage.bootId === options.bootId && ', '')],
    seeds: 300,
  },
  {
    name: 'a grant does not wait for what is executing',
    mark: 17,
    rule: 'L3, C2, I10',
    edits: [edit(POOL_CONTROL, 'this.#host.drain(() => {', '((granted: () => void) => granted())(() => {')],
    seeds: 300,
  },
  {
    name: 'a returning member does not mark what lastIo says',
    mark: 18,
    rule: 'L3',
    edits: [edit(ASSEMBLY, 'mark(grant.lastIo, inSync);', '')],
    settings: MAJORITY_OF_THREE,
    faults: ['ahead at a crash'],
    seeds: 300,
  },
  {
    name: 'a returning member that lost volatile state does not mark what its write intent says',
    mark: 19,
    rule: 'L3',
    edits: [edit(ASSEMBLY, 'if (!grant.volatileLost) return;', 'if (grant.memberId >= 0) return;')],
    seeds: 300,
  },
  {
    name: 'a freeze does not bounce what waits for dirty chunks',
    mark: 20,
    rule: 'L4',
    edits: [
      edit(POOL_CONTROL, 'this.#serving.bouncing = true;', ''),
      edit(POOL_CONTROL, 'this.#host.bounceWaiting();', ''),
      edit(POOL_SERVER, 'if ((this.#slots.waitingSinceMs[tag] as number) > nowMs - WAIT_BOUNCE_MS) {', 'if (nowMs + WAIT_BOUNCE_MS > 0) {'),
    ],
    seeds: 300,
  },
  {
    name: 'a pull outlives its version',
    mark: 21,
    rule: 'R2',
    edits: [
      edit(RESYNC, 'const stale = pull.generation !== this.#generation;', 'const stale = false;'),
      edit(RESYNC, 'if (pull.phase !== PullPhase.READ) continue;', 'if (pull.phase >= PullPhase.FREE) continue;'),
    ],
    faults: ['late pull'],
    seeds: 300,
  },
  {
    name: 'a storage node takes clears of any version',
    mark: 22,
    rule: 'R3',
    edits: [
      edit(
        SYNC_PEERS,
        'if (stamp === null || this.#version !== version || this.#clearsHeld || stamp.epoch !== version.epoch || stamp.seq !== version.seq)',
        'if (fromLeaf < 0)',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a client takes clears of any version',
    mark: 22,
    rule: 'R3',
    edits: [edit(MAP_CHECKS, 'if (!counts) {', 'if (answer === null || (fromLeaf < 0 && !counts)) {')],
    seeds: 300,
  },
  {
    name: 'a holder asks an owner what it has clean once only',
    mark: 23,
    rule: 'R3',
    edits: [
      edit(
        SYNC_PEERS,
        'if (dirty && due) this.#check(peer, held, version, nowMs);',
        'const once = peer as SyncPeer & { asked?: VersionRecord };\n      if (dirty && due && once.asked !== version) {\n        once.asked = version;\n        this.#check(peer, held, version, nowMs);\n      }',
      ),
    ],
    seeds: 300,
  },
];
