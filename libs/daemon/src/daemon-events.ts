// The events of a daemon: what happened on it, for people that ask later. Kept below `stateDir`, and told through the admin interface.
import type { Caller, EventPage, EventPageInput, Events, EventView } from '@rmr/admin-api';
import { type EventFields, type EventKind, EventLog, type NodeEvent } from '@rmr/operations';
import { EventFiles } from '@rmr/operations/node';
import type { World } from '@rmr/runtime';

export class DaemonEvents implements Events {
  readonly #log: EventLog;
  readonly #name: string;

  /** Throws INVALID_CONFIG for events in `stateDir` that can't be understood. */
  constructor(world: World, stateDir: string, { name, version }: { readonly name: string; readonly version: string }) {
    this.#log = new EventLog({ world, storage: new EventFiles(stateDir) });
    this.#name = name;
    this.record('node-started', '', { name, version });
  }

  /** Something has happened. Returns at once. */
  record<Kind extends ToldKind>(kind: Kind, target: string, fields: EventFields<Kind>): void {
    const record = this.#log.record.bind(this.#log) as (kind: Kind, target: string, fields: EventFields<Kind>) => void;
    record(kind, target, fields);
  }

  /** Somebody gives an order: resolves once that is durable, and rejects if it can't be: then the order must not be carried out. */
  ordered({ name, role }: Caller, order: string, target: string, details: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const fields = { by: name, role, order, name: target === '' ? this.#name : target, details };
      this.#log.record('order-given', target, fields, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  /** An order was not carried out. */
  orderFailed({ name }: Caller, order: string, target: string, why: string): void {
    this.record('order-failed', target, { by: name, order, name: target === '' ? this.#name : target, why });
  }

  /** A request was refused, as the role of its caller does not suffice. */
  refused({ name, role }: Caller, request: string): void {
    this.record('request-refused', '', { by: name, role, request });
  }

  page({ after, before, severity, target, limit }: EventPageInput): EventPage {
    const { events, oldest, newest, gap } = this.#log.page({ after, before, severity, target, limit });
    return { events: events.map(viewOf), oldest, newest, gap: gap !== null };
  }

  /** The node stops. Resolves when everything is written. */
  stop(why: string): Promise<void> {
    this.record('node-stopping', '', { name: this.#name, why });
    return new Promise((resolve) => this.#log.stop(() => resolve()));
  }
}

/** Kinds that are told as they happen. Orders have a way of their own, as they are told before they are carried out. */
type ToldKind = Exclude<EventKind, 'order-given'>;

function viewOf({ number, atMs, kind, severity, target, sentence, fields }: NodeEvent): EventView {
  return { number, at: new Date(atMs).toISOString(), kind, severity, target, sentence, fields: { ...fields } };
}
