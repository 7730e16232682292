/**
 * The commands of BRMR-client to the storage nodes: what RMR carries unseen as user commands. Each is text, JSON with a strict schema, and
 * so is its answer. A command that is sent again does no harm: it names the store that it is about by a UUID that its sender has drawn, and
 * a storage node looks at what is there first.
 *
 * A command is answered at once. What takes longer goes on, and the answer to the same command says how far it is.
 */
import { COMMAND_TEXT_MAX } from '@rmr/rmr';
import { isUuid, OPERATION_ERRORS, OperationError, type OperationErrorCode } from '@rmr/runtime';
import { z } from 'zod';

/** From one block per second. */
const rateBytes = z.int().min(4096).max(Number.MAX_SAFE_INTEGER);
const uuid = z.string().refine(isUuid, 'not a lower-case UUID');
const name = z.string().min(1).max(128);
const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const memberId = z.int().min(1).max(255);

/** A store that is to be made on a disk of the node. */
export const storeOrderSchema = z.strictObject({
  disk: name,
  storeUuid: uuid,
  poolUuid: uuid,
  poolName: name,
  memberId,
  lineageUuid: uuid,
  sizeBytes: bytes.min(1),
  chunkSizeBytes: bytes.min(1),
  queueDepth: z.int().min(1).max(1024),
  witness: z.boolean(),
});
export type StoreOrder = z.infer<typeof storeOrderSchema>;

/** Every command, told apart by `do`. */
export const nodeCommandSchema = z.discriminatedUnion('do', [
  /** What the node and its disks are. Changes nothing. */
  z.strictObject({ do: z.literal('look') }),
  /** Makes a store on a disk, opens it, and opens it again after every restart of the node. */
  z.strictObject({ do: z.literal('create'), store: storeOrderSchema }),
  /** Closes a store, and keeps it closed over restarts of the node, until it is opened again: another store may take its place in the pool. */
  z.strictObject({ do: z.literal('close'), storeUuid: uuid, poolUuid: uuid }),
  /** Opens a store that was closed. */
  z.strictObject({ do: z.literal('open'), storeUuid: uuid, poolUuid: uuid }),
  /** Closes a store, destroys its metadata, and gives its place back to the disk. A store of another pool is refused. */
  z.strictObject({ do: z.literal('delete'), storeUuid: uuid, poolUuid: uuid }),
  /**
   * Changes what the resync of the node's member of a pool may do, durably: what is not given stays. `rateBytes`: bytes per second at most;
   * null: no limit of its own.
   */
  z.strictObject({ do: z.literal('resync'), poolUuid: uuid, paused: z.boolean().optional(), rateBytes: rateBytes.nullable().optional() }),
]);
export type NodeCommand = z.infer<typeof nodeCommandSchema>;

/** A disk, as a storage node tells clients of it. */
const diskSchema = z.strictObject({
  name,
  kind: z.enum(['directory', 'device', 'export']),
  capacityBytes: bytes.nullable(),
  freeBytes: bytes.nullable(),
  /** Why no store can be made on it now; empty: one can. */
  problem: z.string().max(512),
});

/** The state of a store on a node. `CREATING`, `DELETING`: ask again. `ABSENT`: there is no such store. */
const storeStateSchema = z.strictObject({
  state: z.enum(['CREATING', 'OPEN', 'CLOSED', 'DELETING', 'ABSENT']),
  /** Why a store that is there is not open; empty otherwise. */
  reason: z.string().max(1024),
});
export type StoreState = z.infer<typeof storeStateSchema>;

/** What each command is answered with when it succeeds. */
export const NODE_ANSWERS = {
  look: z.strictObject({ hostName: name, hostUuid: uuid, disks: z.array(diskSchema).max(256) }),
  create: storeStateSchema,
  close: storeStateSchema,
  open: storeStateSchema,
  delete: storeStateSchema,
  resync: z.strictObject({ paused: z.boolean(), rateBytes: rateBytes.nullable() }),
} as const;
export type NodeAnswer<Do extends NodeCommand['do']> = z.infer<(typeof NODE_ANSWERS)[Do]>;

const REFUSAL = z.strictObject({
  code: z.string().refine((code): code is OperationErrorCode => code in OPERATION_ERRORS, 'not a code'),
  sentence: z.string().min(1).max(2048),
});

const answerSchema = z.union([z.strictObject({ result: z.unknown() }), z.strictObject({ refusal: REFUSAL })]);

export function encodeCommand(command: NodeCommand): string {
  return JSON.stringify(command);
}

/** The command that this text holds, or the reason why it holds none. */
export function decodeCommand(text: string): NodeCommand | { readonly reason: string } {
  return parse(nodeCommandSchema, text);
}

export function encodeAnswer<Do extends NodeCommand['do']>(answer: NodeAnswer<Do> | OperationError): string {
  if (!(answer instanceof OperationError)) return JSON.stringify({ result: answer });
  return JSON.stringify({ refusal: { code: answer.code, sentence: answer.message.slice(0, 2048) } });
}

/** What the node answered to a command. A refusal has the node's own code and sentence; UNAVAILABLE: the answer is malformed. */
export function decodeAnswer<Do extends NodeCommand['do']>(command: Do, whom: string, text: string): NodeAnswer<Do> | OperationError {
  const answer = parse(answerSchema, text);
  if ('refusal' in answer) return new OperationError(answer.refusal.code, `${whom}: ${answer.refusal.sentence}`);
  if ('reason' in answer) return malformed(command, whom, answer.reason);
  const result = NODE_ANSWERS[command].safeParse(answer.result);
  return result.success ? (result.data as NodeAnswer<Do>) : malformed(command, whom, firstIssue(result.error));
}

function malformed(command: string, whom: string, reason: string): OperationError {
  return new OperationError('UNAVAILABLE', `${whom} answered the command ${command} with something malformed: ${reason}`);
}

function parse<T>(schema: z.ZodType<T>, text: string): T | { readonly reason: string } {
  if (text.length > COMMAND_TEXT_MAX) return { reason: 'longer than it may be' };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { reason: 'not JSON' };
  }
  const parsed = schema.safeParse(json);
  return parsed.success ? parsed.data : { reason: firstIssue(parsed.error) };
}

function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`;
}
