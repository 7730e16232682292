import type { RtrsResponseSink } from '@rmr/rtrs';
import { assert, type Logger, type Slab } from '@rmr/runtime';
import type { z } from 'zod';
import { RETURN_RETRY_MS } from '../../../constants.ts';
import type { VersionRecord } from '../../../pool-store.ts';
import { LEG_TRANSITIONS, type LegState, StateMachine } from '../../../states.ts';
import { formatVersion } from '../../../version.ts';
import type { ControlRequest, ProbeResult } from '../../../wire/control-message.ts';
import { type CallDone, controlCall } from '../../control-call.ts';
import type { SharedSession } from '../../shared-session.ts';
import type { RolledBack } from '../return/rolled-back.ts';
import { LegFaults } from './leg-faults.ts';

/** One pool's use of the session to one member. */
export class Leg {
  readonly index: number;
  readonly bit: number;
  readonly member: MemberAddress;
  readonly session: SharedSession;
  readonly #machine: StateMachine<LegState>;
  readonly #wallMs: () => number;
  /** The pool's handle on the member, from its last probe. */
  poolHandle = 0;
  /** When its return to the in-sync set is tried, in clock milliseconds, and how long it waits after the next failure. */
  returnAtMs = 0;
  returnDelayMs = RETURN_RETRY_MS;
  /** When its return would be tried if its faults were the first ones, in clock milliseconds. */
  retryAtMs = 0;
  /** The member's faults, and how long its return waits for them (L7). */
  readonly faults = new LegFaults();
  /** Why it left the in-sync set. Empty if it is in the set, or never was. */
  leftFor = '';
  /** The leaf with which the next map check goes on. */
  nextLeaf = 0;
  /** What a person can do about {@link problem}. Empty if nothing is known that would help. */
  remedy = '';
  /**
   * What is wrong with the member's disk, in the words of its node when it was last asked, without a subject. Empty if nothing is. It
   * counts while the leg is NORMAL.
   */
  diskTrouble = '';
  /** L8: the member's last answer showed that its store went back in time. Null if it did not. */
  rolledBack: RolledBack | null = null;
  /** The node answers, and has no store of this pool. The member may be elsewhere (L9). */
  hasNoStore = false;
  /** The member has moved: the leg leads to where the configuration names it, and not to where the pool's table has it (L9). */
  moved = false;
  #problem = '';
  #sinceMs: number;
  #probe: ProbeResult | null = null;
  #heard: HeardTable | null = null;
  #storeUuid: string | null = null;
  #servedEpoch = 0;
  #servedBootId: string | null = null;
  #servedStoreUuid: string | null = null;

  constructor(index: number, member: MemberAddress, session: SharedSession, log: Logger, wallMs: () => number) {
    this.index = index;
    this.bit = 1 << index;
    this.member = member;
    this.session = session;
    this.#wallMs = wallMs;
    this.#sinceMs = wallMs();
    this.#machine = new StateMachine<LegState>(
      LEG_TRANSITIONS,
      'CREATED',
      log.child({ member: member.memberId, node: member.name }),
      'leg state',
    );
  }

  get state(): LegState {
    return this.#machine.state;
  }

  get reason(): string {
    return this.#machine.reason;
  }

  /** Why the member can't take part although it answers; empty when it can. */
  get problem(): string {
    return this.#problem;
  }

  set problem(problem: string) {
    this.#problem = problem;
    this.remedy = '';
  }

  /** When the leg came into its state, wall clock. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** The member's last answer to a probe of this session. */
  get probe(): ProbeResult | null {
    return this.#probe;
  }

  set probe(probe: ProbeResult | null) {
    this.#probe = probe;
    if (probe === null) return;
    this.#storeUuid = probe.identity.storeUuid;
    if (probe.version !== null) this.#heard = { version: probe.version, members: probe.members };
  }

  /**
   * L8: the last member table that this member has told this client. Null if there is none. It counts without a session, too: a store
   * can't rightly lose what it was once known to have.
   */
  get heard(): HeardTable | null {
    return this.#heard;
  }

  /** The leg takes over what another leg to the same member has heard. */
  remember(heard: HeardTable | null): void {
    this.#heard ??= heard;
  }

  /** The UUID of the member's store. Null if it was never known. */
  get storeUuid(): string | null {
    return this.#storeUuid;
  }

  /**
   * The epoch under which the member was last enabled. 0 if it never was. The member forgot its `lastIo` when it was enabled. So all
   * writes that it names in this epoch are writes of this client.
   */
  get servedEpoch(): number {
    return this.#servedEpoch;
  }

  /** The boot id of the member's host when the member was last enabled. On the same boot, `lastIo` still has all its entries (◆3). */
  get servedBootId(): string | null {
    return this.#servedBootId;
  }

  /** The UUID of the store with which the member was last enabled. */
  get servedStoreUuid(): string | null {
    return this.#servedStoreUuid;
  }

  /** The boot id of the member's host now. Null without a session. */
  get bootId(): string | null {
    return this.session.rtrs.peer?.bootId ?? null;
  }

  get connected(): boolean {
    return this.session.connected;
  }

  /** The member has been enabled with this version. It takes part in IO from now on. */
  enabled(version: VersionRecord): void {
    this.#servedEpoch = version.epoch;
    this.#servedBootId = this.bootId;
    this.#servedStoreUuid = this.#storeUuid;
    this.setState('NORMAL', `version ${formatVersion(version)} is durable on its in-sync set`);
  }

  setState(to: LegState, why: string): void {
    this.#machine.set(to, why);
    this.#sinceMs = this.#wallMs();
  }

  /** `member 2 (storage-2)`, for people. */
  describe(): string {
    return `member ${this.member.memberId} (${this.member.name})`;
  }

  /** Whether the session is connected and has no permit left. */
  get isFull(): boolean {
    return this.connected && this.session.rtrs.freePermits === 0;
  }

  /** Takes a permit of the session. Returns its slot, or -1 if there is none. */
  allocate(): number {
    return this.session.rtrs.allocate(false);
  }

  release(slot: number): void {
    this.session.rtrs.release(slot);
  }

  get headerBytes(): Uint8Array {
    return this.session.rtrs.headerBytes;
  }

  headerOffset(slot: number): number {
    return this.session.rtrs.headerOffset(slot);
  }

  submit(slot: number, headerLength: number, payload: Uint8Array | null, slab: Slab | null, tag: number, sink: RtrsResponseSink): void {
    this.session.rtrs.submit(slot, headerLength, payload, slab, tag, sink);
  }

  /** Sends a control request; `done` is called once, never from within. */
  call<T>(request: ControlRequest, schema: z.ZodType<T>, done: CallDone<T>): void {
    controlCall(this.session, this.describe(), request, schema, done);
  }

  verify(): void {
    assert(this.#machine.state !== 'NORMAL' || this.session.connected, 'leg: NORMAL without a session');
  }
}

/** A member as the client's configuration names it. */
export interface MemberAddress {
  readonly memberId: number;
  /** Name of the storage node, for people. */
  readonly name: string;
  /** RTRS addresses, one per path. */
  readonly addresses: readonly string[];
}

/** A member table that a member has told, and the version that the table was recorded with. */
export type HeardTable = Pick<ProbeResult, 'members'> & { readonly version: VersionRecord };
