import { assert, type World } from '@rmr/runtime';
import { MEMBERS_MAX, RETURN_RETRY_MS, RETURN_RETRY_MS_MAX } from '../../constants.ts';
import type { MemberRecord } from '../../pool-store.ts';
import type { SessionUser, SharedSession } from '../shared-session.ts';
import { Leg, type MemberAddress } from './leg.ts';
import { isWitness } from './membership.ts';

/** Faults of a leg count for an hour (L7). */
const FAULTS_MS = 3_600_000;

/** What a pool's legs are made from. */
export interface LegTableOptions {
  /** The members that the configuration names, at most {@link MEMBERS_MAX}; the witness is none of them. */
  readonly members: readonly MemberAddress[];
  readonly witness: MemberAddress | null;
  /** The session to the host with these addresses, shared with other pools. */
  readonly session: (addresses: readonly string[]) => SharedSession;
  /** Hears of the sessions of all legs, the witness included. */
  readonly user: SessionUser;
}

/** The legs of a pool, one per member, and what they have in common: their places, and their use of sessions. */
export class LegTable {
  readonly #world: Pick<World, 'clock' | 'log'>;
  readonly #options: LegTableOptions;
  readonly #legs: Leg[] = [];
  #witness: Leg | null = null;

  constructor(world: Pick<World, 'clock' | 'log'>, options: LegTableOptions) {
    assert(options.members.length <= MEMBERS_MAX, 'leg table: too many members');
    this.#world = world;
    this.#options = options;
    for (const [index, member] of options.members.entries()) this.#legs.push(this.#newLeg(index, member));
    if (options.witness !== null) this.#witness = this.#newLeg(MEMBERS_MAX, options.witness);
  }

  /**
   * All legs by their index, those on their way out included, without the witness. It is always the same array: who has
   * been given it sees the legs that are added later. The place of a member that was removed is used again.
   */
  get all(): readonly Leg[] {
    return this.#legs;
  }

  /** The leg of the witness, which has no place among the others: nothing is routed to it. */
  get witness(): Leg | null {
    return this.#witness;
  }

  /** Those that are not on their way out. */
  get staying(): readonly Leg[] {
    return this.#legs.filter((leg) => leg.state !== 'REMOVING');
  }

  /** Those that are NORMAL. */
  get inSync(): readonly Leg[] {
    return this.#legs.filter((leg) => leg.state === 'NORMAL');
  }

  get inSyncMask(): number {
    return this.inSync.reduce((mask, leg) => mask | leg.bit, 0);
  }

  get inSyncIds(): number[] {
    return this.inSync.map((leg) => leg.member.memberId);
  }

  /** The leg of a new member, in the place of one that was removed if there is one. Null: there are too many. */
  add(member: MemberAddress): Leg | null {
    const free = this.#legs.findIndex((leg) => leg.state === 'REMOVING');
    const index = free >= 0 ? free : this.#legs.length;
    if (index >= MEMBERS_MAX) return null;
    const former = this.#legs[index];
    const leg = this.#newLeg(index, member);
    this.#legs[index] = leg;
    if (former !== undefined) this.giveUpSession(former);
    return leg;
  }

  /**
   * Members of the table that have no leg get one: the configuration may lack them, and the pool knows their addresses. A
   * leg that is on its way out is none.
   */
  learn(members: readonly MemberRecord[]): void {
    for (const member of members) {
      if (isWitness(member)) {
        this.#witness ??= this.#newLeg(MEMBERS_MAX, member);
        continue;
      }
      const known = this.#legs.some((leg) => leg.member.memberId === member.memberId && leg.state !== 'REMOVING');
      if (!known) this.add(member);
    }
  }

  /** Legs that an older table made, to members that are none any more and that the configuration does not name, are removed. */
  dropStrangers(members: readonly MemberRecord[]): void {
    for (const leg of this.#legs) {
      const named = [...members, ...this.#options.members].some((member) => member.memberId === leg.member.memberId);
      if (!named && leg.state !== 'REMOVING') leg.setState('REMOVING', 'it is no member any more');
    }
  }

  /**
   * Of the legs in `mask`, those that are NORMAL become FAILED; returns their mask. L7: who leaves for its own fault comes
   * back the later the oftener it did so within the hour, who has lost its session as soon as there is one again.
   */
  fail(mask: number, reason: string): number {
    const nowMs = this.#world.clock.nowMs();
    let failed = 0;
    for (const leg of this.#legs) {
      if ((mask & leg.bit) === 0 || leg.state !== 'NORMAL') continue;
      leg.setState('FAILED', reason);
      leg.problem = '';
      if (leg.connected) leg.faultsMs.push(nowMs);
      while (leg.faultsMs.length > 0 && (leg.faultsMs[0] as number) < nowMs - FAULTS_MS) leg.faultsMs.shift();
      const delayMs = leg.connected ? Math.min(RETURN_RETRY_MS * 2 ** Math.min(leg.faultsMs.length, 16), RETURN_RETRY_MS_MAX) : 0;
      leg.returnAtMs = nowMs + delayMs;
      failed |= leg.bit;
    }
    return failed;
  }

  /** A session has come up: its legs may return at once, unless they have left for their own fault. */
  sessionUp(session: SharedSession): void {
    for (const leg of this.#legs) if (leg.session === session && leg.faultsMs.length === 0) leg.returnAtMs = 0;
  }

  /**
   * A session was lost, and with it what its members have answered. Returns the mask of its legs that are NORMAL: how they
   * leave is for the caller to say.
   */
  sessionDown(session: SharedSession, reason: string): number {
    let lost = 0;
    for (const leg of this.#legs) {
      if (leg.session !== session) continue;
      leg.probe = null;
      if (leg.state === 'NORMAL') lost |= leg.bit;
      else if (leg.state === 'RECONNECTING' || leg.state === 'CREATED') leg.setState('FAILED', `path set lost: ${reason}`);
    }
    return lost;
  }

  /** The first leg that is out of the set and may try to return at `nowMs`; undefined: there is none. */
  nextToReturn(nowMs: number, inMaintenance: (memberId: number) => boolean): Leg | undefined {
    return this.#legs.find(
      (leg) =>
        leg.connected &&
        !inMaintenance(leg.member.memberId) &&
        (leg.state === 'FAILED' || leg.state === 'CREATED' || leg.state === 'RECONNECTING') &&
        nowMs >= leg.returnAtMs,
    );
  }

  /** The leg has come back into the set. */
  hasReturned(leg: Leg): void {
    leg.problem = '';
    leg.returnDelayMs = RETURN_RETRY_MS;
  }

  /** The return of a leg ended without success: the next try is the later the oftener that happened. */
  hasNotReturned(leg: Leg, reason: string): void {
    if (leg.state === 'RECONNECTING') leg.setState('FAILED', reason);
    leg.problem = reason;
    leg.returnAtMs = this.#world.clock.nowMs() + leg.returnDelayMs;
    leg.returnDelayMs = Math.min(leg.returnDelayMs * 2, RETURN_RETRY_MS_MAX);
  }

  /** A leg that was removed needs its session no more; other legs may be on the same host, and go on using it. */
  giveUpSession(leg: Leg): void {
    const others = this.#witness === null ? this.#legs : [...this.#legs, this.#witness];
    const stays = others.some((other) => other !== leg && other.state !== 'REMOVING' && other.session === leg.session);
    if (!stays) leg.session.removeUser(this.#options.user);
  }

  /** All legs are removed, and no session is used any more. */
  close(reason: string): void {
    this.#witness?.session.removeUser(this.#options.user);
    for (const leg of this.#legs) {
      leg.session.removeUser(this.#options.user);
      if (leg.state !== 'REMOVING') leg.setState('REMOVING', reason);
    }
  }

  /** Rechecks the invariants of all legs. */
  verify(): void {
    for (const leg of this.#legs) leg.verify();
  }

  #newLeg(index: number, member: MemberAddress): Leg {
    const { clock, log } = this.#world;
    const leg = new Leg(index, member, this.#options.session(member.addresses), log, () => clock.wallMs());
    leg.session.addUser(this.#options.user);
    return leg;
  }
}
