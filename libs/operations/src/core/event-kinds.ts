/**
 * Every kind of event, in one list: what can have happened on a node that a person may ask about later. Each kind has its severity, its
 * sentence, and the fields that the sentence is made of. [docs/events.md](../../../../docs/events.md) is made from this list. A kind that
 * was in a release keeps its name and its fields: programs match on them.
 */

/** From what is only good to know, to what a person has to see at once. */
export const EVENT_SEVERITIES = ['info', 'notice', 'warning', 'critical'] as const;
export type EventSeverity = (typeof EVENT_SEVERITIES)[number];

/** A severity that depends on the value of a field, such as the state that was entered. Values that are not listed have `otherwise`. */
export interface SeverityByField {
  readonly by: string;
  readonly values: Readonly<Record<string, EventSeverity>>;
  readonly otherwise: EventSeverity;
}

export interface EventKindSpec {
  /** What it is about, which is the event's `target`: "a pool, by its UUID". */
  readonly about: keyof typeof EVENT_SUBJECTS;
  readonly severity: EventSeverity | SeverityByField;
  /** With fields in braces. */
  readonly sentence: string;
  readonly fields: Readonly<Record<string, 'text' | 'number'>>;
  /** It is durable before what it tells of is begun. */
  readonly durableFirst?: true;
  /** Whoever can reach the node can cause it: what repeats is summed up, so that it can't push out other events. It has a field `times`. */
  readonly summed?: true;
}

/** What events are about, with what their `target` is. */
export const EVENT_SUBJECTS = {
  node: 'the node itself: empty',
  pool: "the pool's UUID",
  store: "the store's UUID",
  disk: "the disk's name in the configuration",
  session: 'the host UUID of the other node, or its address while that is unknown',
  operation: 'what the operation changes, such as the UUID of a pool',
  order: 'what the order is for, such as the UUID of a pool; empty: the node itself',
} as const;

const transition = { from: 'text', to: 'text', why: 'text' } as const;
const member = { pool: 'text', memberId: 'number', node: 'text' } as const;
const HEALTH = { by: 'to', values: { healthy: 'notice', degraded: 'warning', down: 'critical' }, otherwise: 'warning' } as const;

export const EVENT_KINDS = {
  'node-started': {
    about: 'node',
    severity: 'notice',
    sentence: '{name} has started (version {version})',
    fields: { name: 'text', version: 'text' },
  },
  'node-stopping': {
    about: 'node',
    severity: 'notice',
    sentence: '{name} stops: {why}',
    fields: { name: 'text', why: 'text' },
  },
  'events-lost': {
    about: 'node',
    severity: 'warning',
    sentence: 'events with numbers from {firstNumber} to {lastNumber} are lost, as far as there were any: {why}',
    fields: { firstNumber: 'number', lastNumber: 'number', why: 'text' },
  },
  'events-dropped': {
    about: 'node',
    severity: 'warning',
    sentence: '{count} events were not kept: {why}',
    fields: { count: 'number', why: 'text' },
  },
  'events-damaged': {
    about: 'node',
    severity: 'warning',
    sentence: '{count} lines of {file} could not be read, and the events in them are lost: look at the disk of stateDir',
    fields: { count: 'number', file: 'text' },
  },
  'pool-state': {
    about: 'pool',
    severity: { by: 'to', values: { SERVING: 'notice', FENCED: 'warning' }, otherwise: 'info' },
    sentence: '{pool} is {to}, and was {from}: {why}',
    fields: { pool: 'text', ...transition },
  },
  'pool-health': {
    about: 'pool',
    severity: HEALTH,
    sentence: '{pool} is {to}, and was {from}: {why}',
    fields: { pool: 'text', ...transition },
  },
  'pool-waits': {
    about: 'pool',
    severity: 'warning',
    sentence: 'IO of {pool} waits for {what}',
    fields: { pool: 'text', what: 'text' },
  },
  'pool-goes-on': {
    about: 'pool',
    severity: 'notice',
    sentence: 'IO of {pool} goes on, after {seconds} s: it had waited for {what}',
    fields: { pool: 'text', what: 'text', seconds: 'number' },
  },
  'pool-data-lost': {
    about: 'pool',
    severity: 'critical',
    sentence: '{chunks} chunks of {pool} are LOST: no member has them clean',
    fields: { pool: 'text', chunks: 'number' },
  },
  'leg-state': {
    about: 'pool',
    severity: { by: 'to', values: { NORMAL: 'notice', FAILED: 'warning' }, otherwise: 'info' },
    sentence: 'the leg to member {memberId} ({node}) of {pool} is {to}, and was {from}: {why}',
    fields: { ...member, ...transition },
  },
  'member-state': {
    about: 'pool',
    severity: { by: 'to', values: { NORMAL: 'notice', NO_IO: 'notice' }, otherwise: 'info' },
    sentence: 'member {memberId} of {pool}, served by {node}, is {to}, and was {from}: {why}',
    fields: { ...member, ...transition },
  },
  'member-joined': {
    about: 'pool',
    severity: 'notice',
    sentence: 'member {memberId} ({node}) has joined {pool}',
    fields: member,
  },
  'member-removed': {
    about: 'pool',
    severity: 'notice',
    sentence: 'member {memberId} ({node}) is no member of {pool} any more',
    fields: member,
  },
  'member-store-replaced': {
    about: 'pool',
    severity: 'notice',
    sentence: 'member {memberId} ({node}) of {pool} has another store: {newStore}, and before {oldStore}',
    fields: { ...member, newStore: 'text', oldStore: 'text' },
  },
  'member-in-sync': {
    about: 'pool',
    severity: 'notice',
    sentence: 'member {memberId} ({node}) of {pool} has nothing left to copy',
    fields: member,
  },
  'member-behind': {
    about: 'pool',
    severity: 'warning',
    sentence: 'member {memberId} ({node}) of {pool} has to copy {dirtyBytes} bytes that it has missed',
    fields: { ...member, dirtyBytes: 'number' },
  },
  'member-maintenance': {
    about: 'pool',
    severity: 'notice',
    sentence: 'maintenance of member {memberId} ({node}) of {pool} is {to}',
    fields: { ...member, to: 'text' },
  },
  'store-state': {
    about: 'store',
    severity: { by: 'to', values: { ATTACHED: 'notice', DETACHED: 'warning' }, otherwise: 'info' },
    sentence: 'the store {place} of {pool} is {to}, and was {from}: {why}',
    fields: { place: 'text', pool: 'text', ...transition },
  },
  'store-made': {
    about: 'store',
    severity: 'notice',
    sentence: 'a store for member {memberId} of {pool} was made on {disk}, for {by}',
    fields: { pool: 'text', memberId: 'number', disk: 'text', by: 'text' },
  },
  'store-destroyed': {
    about: 'store',
    severity: 'notice',
    sentence: 'the store of member {memberId} of {pool} on {disk} was destroyed, for {by}',
    fields: { pool: 'text', memberId: 'number', disk: 'text', by: 'text' },
  },
  'disk-health': {
    about: 'disk',
    severity: HEALTH,
    sentence: 'the disk {disk} is {to}, and was {from}: {why}',
    fields: { disk: 'text', ...transition },
  },
  'session-state': {
    about: 'session',
    severity: { by: 'to', values: { CONNECTED: 'notice', OPEN: 'notice', CLOSED: 'warning' }, otherwise: 'info' },
    sentence: 'the session with {peer} is {to}, and was {from}: {why}',
    fields: { peer: 'text', ...transition },
  },
  'operation-state': {
    about: 'operation',
    severity: { by: 'to', values: { SUCCEEDED: 'notice', CANCELLED: 'notice', FAILED: 'warning' }, otherwise: 'info' },
    sentence: '{kind} of {name} ({operation}), ordered by {by}, is {to}, and was {from}: {why}',
    fields: { operation: 'text', kind: 'text', name: 'text', by: 'text', ...transition },
  },
  'order-given': {
    about: 'order',
    severity: 'notice',
    sentence: '{by} ({role}) ordered {order} of {name}: {details}',
    fields: { by: 'text', role: 'text', order: 'text', name: 'text', details: 'text' },
    durableFirst: true,
  },
  'order-failed': {
    about: 'order',
    severity: 'warning',
    sentence: '{order} of {name}, which {by} ordered, was not done: {why}',
    fields: { by: 'text', order: 'text', name: 'text', why: 'text' },
  },
  'request-refused': {
    about: 'order',
    severity: 'warning',
    sentence: '{request} was refused to {by}: the role {role} does not suffice (times: {times})',
    fields: { by: 'text', role: 'text', request: 'text', times: 'number' },
    summed: true,
  },
  'caller-unknown': {
    about: 'node',
    severity: 'warning',
    sentence: 'a request from {address} was refused: it had no token that this node knows (times: {times})',
    fields: { address: 'text', times: 'number' },
    summed: true,
  },
} as const satisfies Readonly<Record<string, EventKindSpec>>;

export type EventKind = keyof typeof EVENT_KINDS;

/** What is given with an event of this kind. The number of times of a kind that is summed up is counted, and not given. */
export type EventFields<Kind extends EventKind> = {
  readonly [Field in Exclude<
    keyof (typeof EVENT_KINDS)[Kind]['fields'],
    'times'
  >]: (typeof EVENT_KINDS)[Kind]['fields'][Field] extends 'number' ? number : string;
};

/** Kinds that are durable before what they tell of is begun. */
export type DurableFirstKind = {
  [Kind in EventKind]: (typeof EVENT_KINDS)[Kind] extends { readonly durableFirst: true } ? Kind : never;
}[EventKind];

/** Texts come from people and from other hosts. Longer ones are cut; characters that would move a terminal's cursor are not kept. */
export const FIELD_CHARACTERS_MAX = 500;

/** A text as it is kept. */
export function keptText(text: string): string {
  const plain = text.replaceAll(/\p{Cc}/gu, ' ');
  return plain.length <= FIELD_CHARACTERS_MAX ? plain : `${plain.slice(0, FIELD_CHARACTERS_MAX - 1)}…`;
}

type FieldValues = Readonly<Record<string, string | number>>;

/** The sentence of an event. */
export function eventSentence(kind: EventKind, fields: FieldValues): string {
  return EVENT_KINDS[kind].sentence.replaceAll(/\{(\w+)\}/g, (_all, field: string) => String(fields[field]));
}

/** The severity of an event. */
export function eventSeverity(kind: EventKind, fields: FieldValues): EventSeverity {
  const { severity }: EventKindSpec = EVENT_KINDS[kind];
  return typeof severity === 'string' ? severity : (severity.values[String(fields[severity.by])] ?? severity.otherwise);
}
