import { assert, type Logger } from '@rmr/runtime';

/** States of a client leg. */
export type LegState = 'CREATED' | 'NORMAL' | 'FAILED' | 'RECONNECTING' | 'REMOVING';
/** States of a pool on a storage node. */
export type ServerPoolState = 'EMPTY' | 'REGISTERED' | 'CREATED' | 'NORMAL' | 'NO_IO';

type Transitions<State extends string> = { readonly [From in State]: { readonly [To in State]?: string } };

/** Every legal transition of a leg, with the reason for which it exists. */
export const LEG_TRANSITIONS: Transitions<LegState> = {
  CREATED: {
    NORMAL: 'create mode: enabled',
    RECONNECTING: 'assemble mode: the member has answered and takes part in recovery',
    FAILED: 'the path set was lost before the first enable, or the member is out of the in-sync set',
    REMOVING: 'the leg is being removed',
  },
  NORMAL: {
    FAILED: 'path set lost, IO or flush error, member not NORMAL any more, too slow, or incarnation changed',
    RECONNECTING: 'maintenance mode',
    REMOVING: 'the leg is being removed',
  },
  FAILED: {
    RECONNECTING: 'the session is back and the member has answered',
    REMOVING: 'the leg is being removed',
  },
  RECONNECTING: {
    NORMAL: 'recovery completed: the version is durable on all members of the set',
    FAILED: 'path set lost during recovery, or the member is out of the in-sync set',
    REMOVING: 'the leg is being removed',
  },
  REMOVING: {},
};

/** Every legal transition of a server pool, with the reason for which it exists. */
export const SERVER_POOL_TRANSITIONS: Transitions<ServerPoolState> = {
  EMPTY: {
    REGISTERED: 'a store was registered',
  },
  REGISTERED: {
    CREATED: 'claimed for a pool that is being born: the store has no version',
    NO_IO: 'claimed for assembly',
    EMPTY: 'the store was unregistered',
  },
  CREATED: {
    NORMAL: 'enabled',
    NO_IO: 'claimed again after its first version was recorded',
    REGISTERED: 'the client left before the first enable',
  },
  NORMAL: {
    NO_IO: 'network error, leg taken out of the in-sync set, or a new epoch was granted',
    REGISTERED: 'the client released the pool',
    EMPTY: 'the store was unregistered',
  },
  NO_IO: {
    NORMAL: 'the version is durable on all members of the set',
    REGISTERED: 'the client left, and the store is still attached',
    EMPTY: 'the client left, and the store is gone',
  },
};

/** Transitions that cost redundancy, or IO: they are logged as warnings. */
const LOSSES: ReadonlySet<string> = new Set(['NORMAL FAILED', 'NORMAL NO_IO']);

/** A state with its table: every illegal transition is an assertion failure, every legal one a log line. */
export class StateMachine<State extends string> {
  readonly #transitions: Transitions<State>;
  readonly #log: Logger;
  readonly #event: string;
  #state: State;
  #reason = '';

  constructor(transitions: Transitions<State>, initial: State, log: Logger, event: string) {
    this.#transitions = transitions;
    this.#state = initial;
    this.#log = log;
    this.#event = event;
  }

  get state(): State {
    return this.#state;
  }

  /** Why the last transition was made. */
  get reason(): string {
    return this.#reason;
  }

  set(to: State, why: string): void {
    const from = this.#state;
    assert(this.#transitions[from][to] !== undefined, 'state machine: illegal transition');
    this.#state = to;
    this.#reason = why;
    this.#log[LOSSES.has(`${from} ${to}`) ? 'warn' : 'info'](this.#event, { from, to, why });
  }
}
