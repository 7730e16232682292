import type { SlabPool, Ticked, Transport, World } from '@rmr/runtime';
import { SESSION_IDLE_MS } from '../constants.ts';
import { type SessionOptions, SharedSession } from './shared-session.ts';

/** The sessions of one process to other hosts: all pools with business at the same host share one. One that nobody uses is closed. */
export class Sessions implements Ticked {
  readonly #world: World;
  readonly #transport: Transport;
  readonly #slabs: SlabPool;
  readonly #options: SessionOptions;
  readonly #sessions = new Map<string, Entry>();

  constructor(world: World, transport: Transport, slabs: SlabPool, options: SessionOptions) {
    this.#world = world;
    this.#transport = transport;
    this.#slabs = slabs;
    this.#options = options;
    world.ticker.subscribe(this);
  }

  /** The session to the host with these addresses, one per path. It is opened at the first call. Whoever keeps it is its user until it ends. */
  to(addresses: readonly string[]): SharedSession {
    const key = addresses.join(' ');
    const usedMs = this.#world.clock.nowMs();
    let entry = this.#sessions.get(key);
    if (entry === undefined) {
      entry = { session: new SharedSession(this.#world, this.#transport, this.#slabs, this.#options, addresses), usedMs };
      this.#sessions.set(key, entry);
    }
    entry.usedMs = usedMs;
    return entry.session;
  }

  all(): readonly SharedSession[] {
    return Array.from(this.#sessions.values(), ({ session }) => session);
  }

  tick(nowMs: number): void {
    for (const [key, entry] of this.#sessions) {
      if (!entry.session.idle) entry.usedMs = nowMs;
      else if (nowMs - entry.usedMs >= SESSION_IDLE_MS) {
        this.#sessions.delete(key);
        entry.session.close('no pool uses it');
      }
    }
  }

  close(reason: string): void {
    this.#world.ticker.unsubscribe(this);
    for (const { session } of this.#sessions.values()) session.close(reason);
    this.#sessions.clear();
  }
}

/** A session, and when somebody used it last, in clock milliseconds. */
interface Entry {
  readonly session: SharedSession;
  usedMs: number;
}
