export { EVENT_SYSTEM_CALLS, type EventFileCalls, EventFiles } from './event-files.ts';
export { openOperationJournal } from './operation-files.ts';
export {
  type FileCalls,
  RECORD_BYTES_MAX,
  RECORDS_MAX,
  RecordDirectory,
  type RecordDirectoryOptions,
  SYSTEM_CALLS,
} from './record-directory.ts';
