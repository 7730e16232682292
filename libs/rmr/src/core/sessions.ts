import type { SlabPool, Transport, World } from '@rmr/runtime';
import { type SessionOptions, SharedSession } from './shared-session.ts';

/** The sessions of one process to other hosts: all pools with business at the same host share one. */
export class Sessions {
  readonly #world: World;
  readonly #transport: Transport;
  readonly #slabs: SlabPool;
  readonly #options: SessionOptions;
  readonly #sessions = new Map<string, SharedSession>();

  constructor(world: World, transport: Transport, slabs: SlabPool, options: SessionOptions) {
    this.#world = world;
    this.#transport = transport;
    this.#slabs = slabs;
    this.#options = options;
  }

  /** The session to the host with these addresses, one per path. It is opened at the first call. */
  to(addresses: readonly string[]): SharedSession {
    const key = addresses.join(' ');
    let session = this.#sessions.get(key);
    if (session === undefined) {
      session = new SharedSession(this.#world, this.#transport, this.#slabs, this.#options, addresses);
      this.#sessions.set(key, session);
    }
    return session;
  }

  all(): readonly SharedSession[] {
    return [...this.#sessions.values()];
  }

  close(reason: string): void {
    for (const session of this.#sessions.values()) session.close(reason);
    this.#sessions.clear();
  }
}
