import { type Edit, edit } from '../mutant.ts';
import {
  CHECKPOINT,
  CLUSTER,
  COMMIT_ENGINE,
  CONSTANTS,
  DISASTER,
  LEG_RETURN,
  MEMORY_DISK,
  OLDER_COPY,
  OPEN_STORE,
  ROLLED_BACK,
  STORE_CONSTANTS,
} from './files.ts';

/** The write intent has fewer places than the device of a simulation has regions, so that regions leave all the time. */
export const SMALL_INTENT: readonly Edit[] = [edit(STORE_CONSTANTS, 'INTENT_ACTIVE_MAX = 4096', 'INTENT_ACTIVE_MAX = 1')];

/** Regions leave the write intent within a fraction of a second when nothing is written there, instead of ten to twenty seconds. */
export const QUICK_IDLE: readonly Edit[] = [edit(STORE_CONSTANTS, 'INTENT_IDLE_TICKS = 200', 'INTENT_IDLE_TICKS = 2')];

/** Members go for long in every run that has several, so that the pool has to be forced. */
export const DISASTERS: readonly Edit[] = [edit(DISASTER, 'RUNS_PERCENT = 6', 'RUNS_PERCENT = 100')];

/** Stores are known to be old by the versions that they lack alone, and only such copies are put back. */
export const OLD_VERSIONS_ALONE: readonly Edit[] = [
  edit(
    ROLLED_BACK,
    'if (seen !== undefined && !hasInPast(store.past, seen))',
    'if (seen !== undefined && seen.age < 0 && !hasInPast(store.past, seen))',
  ),
  edit(LEG_RETURN, 'this.#lacksWrites(claim)', 'false'),
  edit(OLDER_COPY, 'isKnownToBeOlder(copy, known);', 'lacksVersion(copy, known, (other.store ?? other.lastStore)?.version ?? null);'),
  edit(
    OLDER_COPY,
    'function isKnownToBeOlder(',
    `function lacksVersion({ version: own }: OlderCopy, { joined }: MemberRecord, theirs: VersionRecord | null): boolean {
  if (joined === undefined || theirs === null || own.lineageUuid !== theirs.lineageUuid) return false;
  if (joined.epoch === theirs.epoch && joined.seq === theirs.seq) return false;
  return own.epoch < joined.epoch || (own.epoch === joined.epoch && own.seq < joined.seq);
}

function isKnownToBeOlder(`,
  ),
];

/** Every pool has three members or more. */
export const THREE_MEMBERS: readonly Edit[] = [
  edit(CLUSTER, 'NODE_COUNT_PERCENT = [8, 37, 40, 10, 5]', 'NODE_COUNT_PERCENT = [0, 0, 85, 10, 5]'),
  edit(CLUSTER, "this.#chance(30) ? 'majority' : 'none'", "this.#chance(0) ? 'majority' : 'none'"),
];

/** Every pool has three members or more, and a majority of them suffices. */
export const MAJORITY_OF_THREE: readonly Edit[] = [
  edit(CLUSTER, 'NODE_COUNT_PERCENT = [8, 37, 40, 10, 5]', 'NODE_COUNT_PERCENT = [0, 0, 85, 10, 5]'),
  edit(CLUSTER, "this.#chance(30) ? 'majority' : 'none'", "this.#chance(100) ? 'majority' : 'none'"),
];

/** A leg that leaves an IO unanswered for a second leaves. */
export const QUICK_LEG_TIMEOUT: readonly Edit[] = [
  edit(CLUSTER, 'legTimeoutMs: this.#chance(50) ? 3_000', 'legTimeoutMs: this.#chance(100) ? 1_000'),
];

/** What a leg has held up within three seconds counts, in every run. */
export const QUICK_VERDICTS: readonly Edit[] = [edit(CLUSTER, 'legSlowForMs: this.#chance(30)', 'legSlowForMs: this.#chance(100)')];

/** One member stutters, and nothing else goes wrong that has to do with time. */
export const ONE_STUTTERS: readonly string[] = ['stuttering member', 'wall clock jump'];

/** Storage nodes give back at once what waits for dirty chunks, and clients send it again and again. */
export const QUICK_BOUNCES: readonly Edit[] = [edit(CONSTANTS, 'WAIT_BOUNCE_MS = 5_000', 'WAIT_BOUNCE_MS = 20')];

/**
 * A journal record is durable when it is written, and no flush of the disk comes with it, as if the journal lay on a
 * device of its own. As it is, every record flushes the data too, which covers up for a flush that is missing.
 */
export const JOURNAL_APART: readonly Edit[] = [
  edit(
    COMMIT_ENGINE,
    'this.#parts.flushes.request(TAG_RECORD_FLUSH, this, true);',
    '(this.#parts.disk as any).makeDurable(JOURNAL_OFFSET + this.#recordOffset, this.#recordBytes);\n    this.#onRecordFlushed(Status.OK);',
  ),
  edit(
    MEMORY_DISK,
    'corrupt(offsetBytes: number, bytes: Uint8Array): void {',
    `makeDurable(offsetBytes: number, lengthBytes: number): void {
    const within = (change: Change): boolean => change.offsetBytes >= offsetBytes && change.offsetBytes < offsetBytes + lengthBytes;
    for (const change of this.#volatile) if (within(change)) this.#durable.apply(change);
    this.#volatile = this.#volatile.map((change) => (within(change) ? { ...change, lengthBytes: 0, bytes: null } : change));
  }

  corrupt(offsetBytes: number, bytes: Uint8Array): void {`,
  ),
];

/** As {@link JOURNAL_APART}, with the dirty maps on the other device, too: a map that is staged, as for every return, flushes no data. */
export const METADATA_APART: readonly Edit[] = [
  ...JOURNAL_APART,
  edit(CHECKPOINT, '      page--;\n    }\n  }\n  return yield FLUSH_STEP;', '      page--;\n    }\n  }\n  return Status.OK;'),
  edit(
    COMMIT_ENGINE,
    '    if (status !== Status.OK) {\n      this.#setPhase(Phase.IDLE);',
    '    (this.#parts.disk as any).makeDurable(0, this.#parts.state.layout.dataOffset);\n    if (status !== Status.OK) {\n      this.#setPhase(Phase.IDLE);',
  ),
];

/** As {@link METADATA_APART}, also when a store is opened: what another process has written and not flushed stays volatile. */
export const OPENED_APART: readonly Edit[] = [
  ...METADATA_APART,
  edit(
    OPEN_STORE,
    'const status = yield FLUSH_STEP;',
    '(disk as any).makeDurable(0, loaded.state.layout.dataOffset);\n  const status = Status.OK;',
  ),
];
