/** The journal of operations, in a directory of its own below `stateDir`. */
import { join } from 'node:path';
import { OPERATION_ERRORS, type OperationErrorCode } from '@rmr/runtime';
import { z } from 'zod';
import { OPERATION_TRANSITIONS, type OperationRecord, type OperationState } from '../core/operation.ts';
import type { OperationJournal } from '../core/operation-runner.ts';
import { RecordDirectory } from './record-directory.ts';

const VERSION = 1;
const states = Object.keys(OPERATION_TRANSITIONS) as [OperationState, ...OperationState[]];
const codes = Object.keys(OPERATION_ERRORS) as [OperationErrorCode, ...OperationErrorCode[]];

const recordSchema: z.ZodType<OperationRecord> = z.strictObject({
  id: z.uuid(),
  kind: z.string().min(1),
  target: z.string().min(1),
  targetName: z.string(),
  requestedBy: z.string(),
  requestId: z.string().nullable(),
  createdAtMs: z.number(),
  state: z.enum(states),
  step: z.int().min(0),
  error: z.strictObject({ code: z.enum(codes), sentence: z.string() }).nullable(),
  cancelled: z.boolean(),
  undoing: z.boolean(),
  input: z.unknown(),
  memory: z.record(z.string(), z.unknown()),
  result: z.record(z.string(), z.unknown()).nullable(),
  sinceMs: z.number(),
  endedAtMs: z.number().nullable(),
});

/** Opens the journal. Throws INVALID_CONFIG for a record that can't be understood. */
export function openOperationJournal(stateDir: string): OperationJournal & { settled(): Promise<void> } {
  const records = new RecordDirectory<OperationRecord>({
    path: join(stateDir, 'operations'),
    what: 'journal of operations',
    version: VERSION,
    schema: recordSchema,
    idOf: ({ id }) => id,
  });
  return {
    get entries() {
      return records.entries;
    },
    record: (operation, done) => records.put(operation, done),
    forget: (id, done) => records.delete(id, done),
    settled: () => records.settled(),
  };
}
