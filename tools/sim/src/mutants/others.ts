import { edit, type Mutant } from '../mutant.ts';
import {
  ADMISSION,
  ASSEMBLE_RULE,
  ASSEMBLY,
  BITMAP_STORE,
  COMMIT_ENGINE,
  ENGINE,
  FAILED_WRITE,
  FIRST_VERSION,
  LEG_RETURN,
  ORDERLY_STOP,
  PASS_BY,
  POOL_CLIENT,
  POOL_CLIENT_STATUS,
  POOL_CONTROL,
  POOL_MAPS,
  POOL_SERVER,
  POOL_WAITS,
  PULL,
  PULL_DISK,
  RECORD,
  RECOVERY,
  RESYNC,
  RTRS_CLIENT_SESSION,
  RTRS_SERVER_SESSION,
  SLOW_LEGS,
  UNREADABLE_CHUNKS,
  VERSIONS,
  WRITE_INTENT,
} from './files.ts';
import {
  DISASTERS,
  JOURNAL_APART,
  MAJORITY_OF_THREE,
  OPENED_APART,
  QUICK_BOUNCES,
  QUICK_IDLE,
  QUICK_LEG_TIMEOUT,
  SMALL_INTENT,
} from './settings.ts';

/** What it takes that a member can't take a chunk, and others have it. */
const WORN = ['worn sectors', 'node crash', 'partition', 'isolation', 'cut', 'client crash', 'slow link', 'full disk'];
/** Fewer kinds: what is passed by meets a second failure more often. */
const WORN_AND_CUT_OFF = ['worn sectors', 'isolation', 'slow link'];

/** A kind of fault that disturbs no scheme: with a scheme alone, all other kinds would happen too. */
const NOTHING_ELSE = 'wall clock jump';

/** Disks that are full, and what makes members pull meanwhile. */
const FULL_DISKS = ['full disk', 'full disks', 'client crash', 'node crash', 'power loss', 'partition'];

/** Orderings and checks without a mark. */
export const OTHERS: readonly Mutant[] = [
  // Writes, flushes, reads.
  {
    name: 'overlapping writes are not held',
    rule: 'W1',
    edits: [edit(ENGINE, '(this.#writes.overlaps(', '(!legWide && this.#writes.overlaps(')],
    seeds: 60,
  },
  {
    name: 'a read is not held by a write in flight that it overlaps',
    rule: 'W1, I2',
    edits: [edit(ENGINE, '(this.#writes.overlaps(', '(legWide && this.#writes.overlaps(')],
    seeds: 300,
  },
  {
    name: 'a write is not held by a read in flight that it overlaps',
    rule: 'W1, I2',
    edits: [edit(ENGINE, '(legWide && this.#reads', '(legWide && lengthBytes < 0 && this.#reads')],
    seeds: 300,
  },
  {
    name: 'a write that waits is carried out though its caller was told that it never will be',
    rule: 'W9',
    // Its age is hidden, as status would show an IO that is older than all that anybody waits for.
    edits: [edit(ENGINE, 'this.#waiting.remove(request);\n    this.counters.cancelled++;', 'request.submittedAtMs = 1e15;')],
    seeds: 60,
  },
  {
    name: 'a write that a member has carried out counts as one that has not begun',
    rule: 'W9, I2',
    edits: [edit(ENGINE, 'if (!request.waits || request.begun) return false;', 'if (!request.waits) return false;')],
    seeds: 300,
  },
  {
    name: 'FUA is answered without a flush',
    rule: 'I1',
    edits: [edit(POOL_SERVER, '& IoFlag.FUA) !== 0 && isWriteType', '& IoFlag.FUA) === 99 && isWriteType')],
    seeds: 300,
  },
  {
    name: 'a flush reaches one leg only',
    rule: 'I1',
    edits: [
      edit(
        ENGINE,
        'const mask = this.#routeMask;\n    this.#units.sentToAll(',
        'const mask = request.type === MessageType.FLUSH ? this.#routeMask & -this.#routeMask : this.#routeMask;\n    this.#units.sentToAll(',
      ),
      edit(
        ENGINE,
        'if ((((units.ok[unit] as number) | (units.passed[unit] as number)) & this.#routeMask) !== this.#routeMask) {',
        'if (request.type !== MessageType.FLUSH && (((units.ok[unit] as number) | (units.passed[unit] as number)) & this.#routeMask) !== this.#routeMask) {',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'the members that miss a write are not marked',
    rule: 'W3, I6',
    edits: [
      edit(
        POOL_SERVER,
        'const { missingMemberIds, missingCount } = message;',
        'const { missingMemberIds } = message;\n    const missingCount = 0;',
      ),
    ],
    seeds: 60,
  },
  {
    name: 'a partial write of a dirty chunk does not wait for it to be synced',
    rule: 'W4',
    edits: [
      edit(
        POOL_SERVER,
        'const replaced = this.#replacedChunks(offsetBytes, lengthBytes);',
        'const replaced = this.#replacedChunks(offsetBytes, lengthBytes) ?? [];',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a dirty chunk is read and served',
    rule: 'I4',
    edits: [
      edit(POOL_SERVER, 'if (this.#own.anyDirty(message.offsetBytes, message.lengthBytes)) {', 'if (message.lengthBytes < 0) {'),
      edit(ENGINE, 'if ((this.dirtyMask & candidates) !== 0) candidates', 'if ((this.dirtyMask & candidates) < 0) candidates'),
    ],
    seeds: 60,
  },
  {
    name: 'a bounced write is sent again in another unit',
    rule: 'L4, W3',
    edits: [
      edit(
        ENGINE,
        'if (!isLegWide(request)) {\n        request.round = this.#round;',
        `if (isLegWide(request)) {
        request.round = this.#round;
        this.#releaseUnit(unit);
        this.#waiting.insertByTicket(request);
        this.#drain();
        this.gate.noticeQuiet();
        return;
      }
      if (!isLegWide(request)) {
        request.round = this.#round;`,
      ),
    ],
    settings: QUICK_BOUNCES,
    faults: ['bounced at a crash', NOTHING_ELSE],
    seeds: 300,
  },

  // Versions, claims, assembly.
  {
    name: 'a sequence number is used again for another set',
    rule: 'V1',
    // A member that stays has heard of the former attempt before, and refuses its number for another set: the client would
    // lose all legs, and begin a new epoch. The rule is kept at both ends.
    edits: [
      edit(VERSIONS, 'seq: ++this.#seq,', 'seq: current.seq + 1,'),
      edit(POOL_CONTROL, 'compareVersions(next, current) === 0 && !sameVersion(next, current))', 'compareVersions(next, current) > 9e15)'),
    ],
    seeds: 300,
  },
  {
    name: 'a shrink does not count in the writes in flight',
    rule: 'V2',
    edits: [edit(VERSIONS, 'mergeRanges(this.#host.incompleteWriteRanges())', 'mergeRanges([])')],
    seeds: 60,
  },
  {
    name: 'a version brings as clean what writes in flight are marking',
    rule: 'V2, I6',
    edits: [edit(VERSIONS, 'mergeRanges([...dirty, ...marked])', 'mergeRanges([...dirty])')],
    seeds: 300,
  },
  {
    name: 'a version counts that too few have recorded',
    rule: 'quorum',
    edits: [edit(VERSIONS, 'this.#paused = !suffices(', 'this.#paused = members.length < 0 && !suffices(')],
    seeds: 300,
  },
  {
    name: 'a stale epoch is served',
    rule: 'I7',
    // The session of another client would be refused, too.
    edits: [
      edit(ADMISSION, 'if (message.epoch !== serving.epoch)\n', 'if (message.epoch > 4_000_000_000)\n'),
      edit(ADMISSION, "serving.state !== 'NORMAL' || request.session !== serving.holder", "serving.state !== 'NORMAL'"),
    ],
    seeds: 300,
  },
  {
    name: 'a lower epoch is granted',
    rule: 'C2',
    edits: [
      edit(
        POOL_CONTROL,
        'if (promise !== null && !again && request.epoch <= promise.epoch) {',
        'if (promise !== null && !again && request.epoch < 0) {',
      ),
    ],
    seeds: 300,
  },
  {
    name: 'a pool is assembled without its whole in-sync set',
    rule: 'assemble rule',
    edits: [
      edit(
        ASSEMBLE_RULE,
        'if (missing.length === 0) return { legs: needed, excused: [] };',
        'if (needed.length > 0) return { legs: needed, excused: [] };',
      ),
      edit(RECOVERY, 'const whole = highest.inSync.every(', 'const whole = legs.length > 0 || highest.inSync.every('),
    ],
    seeds: 60,
  },
  {
    name: 'nothing is reconciled',
    rule: 'reconciliation',
    edits: [edit(FIRST_VERSION, 'reconcile(maps, grants, memberIds);', '')],
    seeds: 60,
  },
  {
    name: 'a member that is dirty for a chunk wins it',
    rule: 'reconciliation, I4',
    edits: [edit(ASSEMBLY, '.filter((memberId) => !maps.of(memberId).test(chunk))', '')],
    seeds: 300,
  },
  {
    name: 'a member that lost volatile state wins a chunk although another kept it',
    rule: 'reconciliation, I1',
    edits: [edit(ASSEMBLY, 'candidates.find((memberId) => !isDoubtful(memberId, chunk)) ?? candidates[0]', 'candidates[0]')],
    seeds: 300,
  },

  // Members that leave: slow ones.
  {
    name: 'a leg that does not answer stays',
    rule: 'L7',
    edits: [edit(SLOW_LEGS, 'unanswered !== 0 && (engine', 'unanswered < 0 && (engine')],
    settings: QUICK_LEG_TIMEOUT,
    faults: ['hanging disk', NOTHING_ELSE],
    seeds: 30,
  },
  {
    name: 'the last leg leaves when it does not answer',
    rule: 'L7',
    edits: [edit(SLOW_LEGS, 'unanswered !== 0 && (engine.routeMask & ~unanswered) !== 0', 'unanswered !== 0')],
    settings: QUICK_LEG_TIMEOUT,
    faults: ['hanging disk', NOTHING_ELSE],
    seeds: 100,
  },
  // What is waited for.
  {
    name: 'a client does not say that a flush waits for chunks that no in-sync member has clean',
    rule: 'I11',
    edits: [edit(POOL_WAITS, 'maps.heldElsewhere(inSyncIds)', 'Math.min(-1, maps.heldElsewhere(inSyncIds))')],
    faults: ['only copy away', 'isolation', 'node crash'],
    seeds: 300,
  },
  {
    name: 'a client does not say what a leg waits for that has a session',
    rule: 'I11',
    edits: [edit(POOL_CLIENT_STATUS, "leg.state === 'REMOVING') return", "leg.state === 'REMOVING' || leg.connected) return")],
    seeds: 30,
  },

  // Members that return, resync.
  {
    name: 'a returning member keeps maps of members that were removed meanwhile',
    rule: 'membership',
    edits: [edit(LEG_RETURN, 'filter((id) => !memberIds.includes(id));', 'filter((id) => id < 0);')],
    seeds: 300,
  },
  {
    name: 'a returning member keeps its own column',
    rule: 'L3, I3',
    edits: [
      edit(
        LEG_RETURN,
        'new MapSpread(this.leg, poolUuid, epoch, maps, memberIds),',
        'new MapSpread(this.leg, poolUuid, epoch, maps, memberIds.filter((memberId) => memberId !== this.leg.member.memberId)),',
      ),
    ],
    seeds: 60,
  },
  {
    // What was reconciled stays in the write intent until a flush has begun after it: that goes too. Opening a store flushes as well.
    name: 'an enabled member forgets lastIo without a flush',
    rule: 'L3',
    settings: [...OPENED_APART, ...QUICK_IDLE],
    edits: [
      edit(WRITE_INTENT, 'this.#changeHolds(Hold.RECONCILE, Hold.FLUSH);', 'this.#changeHolds(Hold.RECONCILE, Hold.NONE);'),
      edit(
        POOL_CONTROL,
        '#flushAndForget(done: (status: number) => void, change: MetadataChange = {}): void {',
        '#flushAndForget(done: (status: number) => void, change: MetadataChange = {}): void {\n    if (this.#host.handle >= 0) return this.#store.commit({ ...change, reconciled: true }, done);',
      ),
    ],
    faults: ['power loss after a crash', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: 'a returning member does not mark what its disk can not read',
    rule: 'L3, I8',
    edits: [edit(ASSEMBLY, 'mark(grant.unreadable, inSync);', '')],
    faults: ['bad sectors', 'partition'],
    seeds: 60,
  },
  {
    name: "a reconciliation chooses a member that can't read its copy",
    rule: 'I1, I8',
    edits: [edit(ASSEMBLY, 'readable.length > 0 ? readable : clean', 'clean')],
    faults: ['bad sector at a power loss', NOTHING_ELSE],
    seeds: 30,
  },
  {
    name: 'a client that ends releases its members while IO is in flight',
    rule: 'W3, I2',
    edits: [
      edit(ORDERLY_STOP, 'if (host.unfinished() !== null) return;', ''),
      edit(ORDERLY_STOP, 'else if (unfinished !== null)', 'else if (unfinished !== null && status > 0)'),
    ],
    faults: ['client stop', 'slow link', 'cut', NOTHING_ELSE],
    seeds: 100,
  },
  {
    name: 'a storage node that has erased a map passes over whoever gets that id in the same epoch',
    rule: 'I6',
    edits: [edit(POOL_CONTROL, 'for (const member of members) this.#serving.erased.delete(member.memberId);', '')],
    faults: ['superseded addition', NOTHING_ELSE],
    seeds: 60,
  },
  {
    name: "before a reconciliation it does not matter which members can't read a chunk",
    rule: 'I1, I8',
    edits: [edit(FIRST_VERSION, 'passOverUnreadable(maps, grants);', '')],
    faults: ['bad sectors', 'client crash', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: 'a member is passed over for one that nobody has asked whether it can read the chunk',
    rule: 'I1',
    edits: [
      edit(ASSEMBLY, 'grants.flatMap((grant) => grant.unreadable),', ''),
      edit(POOL_CONTROL, 'this.#readAgain(() =>', '((go: () => void) => go())(() =>'),
    ],
    faults: ['bad sectors', 'read error', 'client crash', NOTHING_ELSE],
    seeds: 600,
  },
  {
    name: 'a returning member counts as suspect for what this very client has sent it',
    rule: 'I8',
    edits: [edit(LEG_RETURN, 'this.leg.servedEpoch === epoch ? { ...grant, lastIo: [] } : grant', 'grant')],
    faults: ['bad sectors', 'client crash', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: 'a read that no member can answer as a whole fails',
    rule: 'I8',
    edits: [
      edit(ENGINE, 'badEverywhere && this.#host.readByChunks(request)', 'badEverywhere && unit < 0 && this.#host.readByChunks(request)'),
    ],
    faults: ['bad sectors', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: 'all chunks of a read that failed count as unreadable',
    rule: 'I8',
    edits: [edit(UNREADABLE_CHUNKS, 'first === last ? this.#chunks : this.#suspects', 'this.#chunks')],
    faults: ['bad sectors', 'partition', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: "a client whose members can't read a chunk does not wait for one that is away and has it",
    rule: 'I8',
    edits: [edit(ENGINE, 'badEverywhere && !split && this.#host', 'badEverywhere && unit < 0 && this.#host')],
    faults: ['bad sectors', 'partition', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: 'a flush that failed holds nothing in the write intent',
    rule: 'W7, I1',
    edits: [edit(WRITE_INTENT, 'would vouch for it.\n      this.#holdUsed();', 'would vouch for it.')],
    settings: [...SMALL_INTENT, ...QUICK_IDLE],
    faults: ['client crash', 'crash after a failed flush', 'flush error', 'power loss', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: 'what is lost is not named',
    rule: 'I8',
    edits: [edit(POOL_MAPS, 'lost(): LostData | null {', 'lost(): LostData | null {\n    if (this.chunkCount > 0) return null;')],
    settings: DISASTERS,
    seeds: 60,
  },
  {
    name: 'what is reconciled stays in the write intent for ever where nothing was lost',
    rule: 'W7, I11',
    edits: [edit(COMMIT_ENGINE, 'this.#tellApplied();\n      this.#completeUnits(', 'this.#completeUnits(')],
    seeds: 60,
  },
  {
    // Until its region leaves the write intent, that names what was pulled: with few places it leaves soon.
    name: 'a pull clears before it flushes',
    rule: 'R1',
    settings: [...JOURNAL_APART, ...SMALL_INTENT],
    edits: [
      edit(
        RESYNC,
        'pull.phase = PullPhase.FLUSH;\n',
        'pull.phase = PullPhase.FLUSH;\n        if (pull.chunkCount > 0) {\n          this.#clear(pull);\n          break;\n        }\n',
      ),
    ],
    seeds: 300,
  },

  {
    name: 'a pull does not enter into lastIo what the data shows of unresolved writes',
    rule: 'R1, I2',
    edits: [edit(PULL_DISK, '  noteUnresolved(store, pull);', '')],
    settings: MAJORITY_OF_THREE,
    faults: ['ahead of a pull', NOTHING_ELSE],
    seeds: 300,
  },
  {
    name: 'zeroes are written where a hole does',
    rule: 'R1',
    edits: [
      edit(
        PULL_DISK,
        'if (hole) store.punch(offsetBytes, lengthBytes, tag, sink);',
        'if (hole) store.write(offsetBytes, new Uint8Array(lengthBytes), tag, sink);',
      ),
    ],
    seeds: 60,
  },
  {
    name: 'where the source has a hole, the puller keeps its old data',
    rule: 'R1, I4',
    edits: [
      edit(
        PULL_DISK,
        'if (hole) store.punch(offsetBytes, lengthBytes, tag, sink);',
        'if (hole) store.write(offsetBytes, new Uint8Array(0), tag, sink);',
      ),
    ],
    seeds: 60,
  },
  {
    name: 'a pull clears chunks that its answer has not covered',
    rule: 'R1, I4',
    edits: [
      edit(PULL, 'if (lacking === 0) return 0;', 'if (lacking >= 0) return 0;'),
      edit(RESYNC, 'pull.writtenBytes += pull.coveredBytes;', 'pull.writtenBytes += pull.lengthBytes;'),
    ],
    seeds: 60,
  },

  // Stores.
  {
    name: 'metadata is answered before it is durable',
    rule: 'W3, V2',
    edits: [edit(COMMIT_ENGINE, 'this.#parts.flushes.request(TAG_RECORD_FLUSH, this, true);', 'this.#onRecordFlushed(Status.OK);')],
    seeds: 300,
  },
  {
    name: 'a flush that failed is not remembered',
    rule: 'flush, L6',
    edits: [
      edit(COMMIT_ENGINE, 'if (this.failed) flushes.answerFailed();', 'if (this.failed || status !== Status.OK) flushes.answerFailed();'),
      edit(
        POOL_SERVER,
        'this.#store.commit({ volatileLost: true }, () => this.#finish(tag, failureOf(status)));',
        'this.#finish(tag, failureOf(status));',
      ),
      edit(POOL_CONTROL, 'else this.#store.commit({ volatileLost: true }, () => done(status));', 'else done(status);'),
      edit(COMMIT_ENGINE, 'this.#plan.usage = { ...this.#plan.usage, volatileLost: true };', ''),
      edit(
        BITMAP_STORE,
        'this.#doubtful = true;\n          this.#notAged();\n          this.#writeMark();',
        'this.#doubtful = true;\n          this.#notAged();',
      ),
    ],
    faults: ['client crash', 'crash after a failed flush', 'crash of everything', 'flush error', 'node crash', 'power loss'],
    seeds: 300,
  },
  {
    name: 'a torn record is accepted',
    rule: 'journal',
    // Where the ring was empty before, the framing gives a torn record away: the number of entries.
    edits: [edit(RECORD, "return 'the checksum is wrong';", ';'), edit(RECORD, "return 'the number of entries is wrong';", ';')],
    faults: ['power loss at a record'],
    seeds: 300,
  },

  // Force.
  {
    // Either mark alone covers for the other: force marks members that are absent, and a return marks a member of another lineage.
    // And where one that is there has lost power, reconciliation marks its whole write intent for all others: most runs are covered by that.
    name: 'a member of a former lineage comes back with what it had',
    rule: 'force, I4',
    edits: [
      edit(LEG_RETURN, '      maps.of(memberId).set(0, maps.chunkCount);\n', ''),
      edit(FIRST_VERSION, 'if (!inSync.some((member) => member.memberId === memberId)) maps.of(memberId).set(0, maps.chunkCount);', ''),
    ],
    settings: DISASTERS,
    seeds: 600,
  },
  {
    name: 'force takes the columns of stale members for complete',
    rule: 'force, ◆14',
    edits: [
      edit(
        FIRST_VERSION,
        'holdersOf(grants, highest, memory !== null, members)',
        'holdersOf(grants, highest, memory !== null || forced, members)',
      ),
    ],
    settings: DISASTERS,
    seeds: 300,
  },
  {
    name: 'a forced pool keeps a quorum that it does not have',
    rule: 'force, I11',
    edits: [edit(FIRST_VERSION, "? policy.quorum : 'none'", '? policy.quorum : policy.quorum')],
    settings: DISASTERS,
    seeds: 300,
  },
  {
    name: 'a flush waits for chunks that are lost',
    rule: 'I8, I11',
    edits: [edit(POOL_CLIENT, 'this.#maps?.heldElsewhere(this.#legs.inSyncIds)', 'this.#maps?.dirtyForAll(this.#legs.inSyncIds)')],
    settings: DISASTERS,
    seeds: 300,
  },
  {
    name: "a member on its way from a former lineage into the set can't record what follows",
    rule: 'force, I11',
    edits: [edit(FIRST_VERSION, 'foreign: legs.filter((leg) => (', 'foreign: legs.filter((leg) => forced && (')],
    settings: DISASTERS,
    seeds: 300,
  },

  // Chunks that a member can't take.
  {
    name: 'IO waits for chunks that a member can not take',
    rule: 'W10',
    edits: [edit(PASS_BY, 'return this.#sources.isHeld(chunk) &&', 'return false && this.#sources.isHeld(chunk) &&')],
    faults: WORN,
    seeds: 60,
  },
  {
    name: 'a member that passes a chunk by counts as having carried out the write',
    rule: 'W10',
    edits: [
      edit(ENGINE, 'units.passed[unit] = (units.passed[unit] as number) | bit;', 'units.ok[unit] = (units.ok[unit] as number) | bit;'),
    ],
    faults: WORN,
    seeds: 300,
  },
  {
    name: 'a chunk is pulled although a write that passed it by is not resolved',
    rule: 'W10, R1',
    edits: [
      edit(
        PASS_BY,
        'return this.#passed.mayPull(chunk) && this.#refused.mayTry(chunk, nowMs);',
        'return this.#refused.mayTry(chunk, nowMs);',
      ),
    ],
    faults: WORN_AND_CUT_OFF,
    seeds: 300,
  },
  {
    name: 'a chunk is passed by that no other member of the set has',
    rule: 'W10, I8',
    edits: [edit(PASS_BY, 'return this.#sources.isHeld(chunk) &&', 'return true &&')],
    faults: WORN,
    seeds: 300,
  },
  {
    name: 'a member that has passed some of a write by, which the others failed, stays',
    rule: 'W10, I3',
    edits: [edit(FAILED_WRITE, '(failed & (failed - 1)) | passed', 'failed & (failed - 1)')],
    faults: WORN_AND_CUT_OFF,
    seeds: 300,
  },
  {
    name: 'what is passed by is not marked for those that miss it',
    rule: 'W10, I6',
    edits: [edit(POOL_SERVER, 'this.#passBy(tag, message);', 'this.#passBy(tag, message);\n        message.missingCount = 0;')],
    faults: WORN,
    seeds: 300,
  },

  // Space.
  {
    name: 'a write that only some members had no space for ends with ENOSPC',
    rule: 'W8, I2',
    edits: [
      edit(
        FAILED_WRITE,
        'if (units.ok[unit] !== 0 || passed !== 0) return Status.OK;',
        'if (units.ok[unit] !== 0 || passed !== 0) return fullOf(units, unit, request, failed) === failed ? Status.ENOSPC : Status.OK;',
      ),
    ],
    faults: FULL_DISKS,
    seeds: 50,
  },
  {
    name: 'a chunk that finds no space counts as pulled',
    rule: 'W8, R1',
    edits: [
      edit(
        RESYNC,
        'if (status === Status.ENOSPC && pull.phase <= PullPhase.WRITE) this.#noteFull(pull);',
        'if (status === Status.ENOSPC) {\n        this.#clear(pull);\n        return;\n      }',
      ),
    ],
    faults: FULL_DISKS,
    seeds: 50,
  },

  // Paths.
  {
    name: 'the requests of a dead path are sent again before the server has drained it',
    rule: 'I10',
    edits: [edit(RTRS_CLIENT_SESSION, 'carrier.frames.sendSignal(FrameKind.FENCE, lost.pathId);', 'this.onFenced(carrier, lost.pathId);')],
    seeds: 300,
  },
  {
    name: 'a fenced path still brings requests',
    rule: 'I10',
    edits: [edit(RTRS_SERVER_SESSION, "this.#paths.find((other) => other.pathId === pathId)?.frames.fail('fenced by the client');", '')],
    seeds: 300,
  },
];
