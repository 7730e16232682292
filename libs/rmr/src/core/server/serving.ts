import type { RtrsServerSession } from '@rmr/rtrs';
import { type Clock, type Logger, Status } from '@rmr/runtime';
import { SERVER_POOL_TRANSITIONS, type ServerPoolState, StateMachine } from '../../states.ts';
import type { IoMessage } from '../../wire/io-message.ts';

/** Which client a pool on a storage node serves, under which version, and in which state the pool is. */
export class Serving {
  /** The epoch whose requests are executed; 0 while none is (before a grant, and while a grant drains). */
  epoch = 0;
  /** Sequence number of the version that requests have to be of, and up to which write older ones are acceptable (W6). */
  versionSeq: number;
  horizon = 0;
  /**
   * Sequence number of the version with which this member came into IO. What was sent under an older one is from before,
   * held up on a path that was slow or dead while the member was away: newer data may have been pulled since (L3).
   */
  enabledSeq = 0;
  /**
   * Members whose maps were erased under this epoch, as they were removed, and that no table had since: what was sent before
   * marks nothing for them any more.
   */
  readonly erased = new Set<number>();
  /** The session of the client that holds the promise, while it lives. */
  holder: RtrsServerSession | null = null;
  /** A map update is ahead: what would wait for a chunk is given back (L4). */
  bouncing = false;
  /**
   * Why nobody is served: with this status ends what was accepted before and goes no further. ESTALE, which stops a client
   * for good (C3), only when a claim is the reason.
   */
  endStatus: number = Status.ENOTNORMAL;
  /** When the state was entered, wall clock. */
  sinceMs: number;
  readonly #clock: Clock;
  readonly #machine: StateMachine<ServerPoolState>;

  constructor(clock: Clock, log: Logger, versionSeq: number) {
    this.#clock = clock;
    this.#machine = new StateMachine<ServerPoolState>(SERVER_POOL_TRANSITIONS, 'EMPTY', log, 'server pool state');
    this.versionSeq = versionSeq;
    this.sinceMs = clock.wallMs();
    this.setState('REGISTERED', 'store registered');
  }

  get state(): ServerPoolState {
    return this.#machine.state;
  }

  get reason(): string {
    return this.#machine.reason;
  }

  setState(to: ServerPoolState, why: string): void {
    this.sinceMs = this.#clock.wallMs();
    this.#machine.set(to, why);
  }

  /** A member that was removed since the write was sent is missed by nobody: a map of it would stay for ever. */
  forgetErased(message: IoMessage): void {
    const { erased } = this;
    if (erased.size === 0) return;
    const { missingMemberIds, missingCount: count } = message;
    message.missingCount = 0;
    for (let i = 0; i < count; i++) {
      const memberId = missingMemberIds[i] as number;
      if (!erased.has(memberId)) missingMemberIds[message.missingCount++] = memberId;
    }
  }

  /** Nobody is served any more, for the reason that `status` says. The state is the caller's. */
  end(status: number): void {
    this.endStatus = status;
    this.epoch = 0;
    this.holder = null;
    this.bouncing = false;
  }
}
