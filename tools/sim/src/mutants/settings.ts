import { type Edit, edit } from '../mutant.ts';
import { COMMIT_ENGINE, MEMORY_DISK, STORE_CONSTANTS } from './files.ts';

/** The write intent has fewer places than the device of a simulation has regions, so that regions leave all the time. */
export const SMALL_INTENT: readonly Edit[] = [edit(STORE_CONSTANTS, 'INTENT_ACTIVE_MAX = 4096', 'INTENT_ACTIVE_MAX = 2')];

/**
 * Metadata is durable when it is written, and no flush of the disk comes with it, as if the journal lay on a device of
 * its own. As it is, every change of the metadata flushes the data too, which covers up for a flush that is missing.
 */
export const JOURNAL_APART: readonly Edit[] = [
  edit(COMMIT_ENGINE, 'this.#parts.flushes.request(TAG_RECORD_FLUSH, this, true);', 'this.#onRecordFlushed(Status.OK);'),
  edit(
    MEMORY_DISK,
    'this.#volatile.push(change);\n    return Status.OK;',
    'if (offsetBytes < this.sizeBytes - 9_439_744) this.#durable.apply(change);\n    else this.#volatile.push(change);\n    return Status.OK;',
  ),
];
