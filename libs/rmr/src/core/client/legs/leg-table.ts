import { sameIncarnation } from '@rmr/rtrs';
import { assert, type World } from '@rmr/runtime';
import { MEMBERS_MAX, RETURN_DELAY_MS_MAX_DEFAULT, RETURN_RETRY_MS, RETURN_RETRY_MS_MAX } from '../../../constants.ts';
import type { MemberRecord } from '../../../pool-store.ts';
import { probeResultSchema } from '../../../wire/control-message.ts';
import type { SessionUser, SharedSession } from '../../shared-session.ts';
import type { IoEngine } from '../io/io-engine.ts';
import type { PoolMaps } from '../pool-maps.ts';
import { remedyForStalls } from '../status/remedies.ts';
import { isWitness } from '../versions/member-records.ts';
import { sameAddresses } from '../versions/member-table.ts';
import type { Versions } from '../versions/versions.ts';
import { awaitedMembers } from './awaited-members.ts';
import { Leg, type MemberAddress } from './leg.ts';
import type { LegFault } from './leg-faults.ts';

/**
 * The legs of a pool, one per member. The table knows where each leg leads, and which sessions the legs use.
 *
 * L9: a leg leads to where the pool's own table has its member. Where the configuration names another place, a *stray* leg is kept to
 * that place. If the member answers there alone, it has moved. If one store answers in both places, it is a copy of itself.
 */
export class LegTable {
  readonly #world: Pick<World, 'clock' | 'log'>;
  readonly #options: LegTableOptions;
  readonly #legs: Leg[] = [];
  #witness: Leg | null = null;
  /**
   * The stray legs by member id. Each leads to where the configuration names a member that the pool knows elsewhere. They take part in
   * nothing.
   */
  readonly #strays = new Map<number, Leg>();
  #straysAskedMs = Number.NEGATIVE_INFINITY;
  /** By member id: since when a member with a stray leg is not where the pool knows it, in clock milliseconds. */
  readonly #missingSinceMs = new Map<number, number>();

  constructor(world: Pick<World, 'clock' | 'log'>, options: LegTableOptions) {
    assert(options.members.length <= MEMBERS_MAX, 'leg table: too many members');
    this.#world = world;
    this.#options = options;
    for (const [index, member] of options.members.entries()) this.#legs.push(this.#newLeg(index, member));
    if (options.witness !== null) this.#witness = this.#newLeg(MEMBERS_MAX, options.witness);
  }

  /**
   * All legs by their index, without the witness. Legs that are being removed are among them. It is always the same array, so an
   * object that was given it sees legs that are added later. The place of a removed member is used again.
   */
  get all(): readonly Leg[] {
    return this.#legs;
  }

  /** The leg of the witness. It has no place among the others, as no IO is routed to it. */
  get witness(): Leg | null {
    return this.#witness;
  }

  /** The legs that are not being removed. */
  get staying(): readonly Leg[] {
    return this.#legs.filter((leg) => leg.state !== 'REMOVING');
  }

  /** The legs that are NORMAL. */
  get inSync(): readonly Leg[] {
    return this.#legs.filter((leg) => leg.state === 'NORMAL');
  }

  get inSyncMask(): number {
    return this.inSync.reduce((mask, leg) => mask | leg.bit, 0);
  }

  /** The ids of the members in the mask whose legs are NORMAL. */
  idsOf(mask: number): number[] {
    return this.inSync.filter(({ bit }) => (mask & bit) !== 0).map(({ member }) => member.memberId);
  }

  get inSyncIds(): number[] {
    return this.inSync.map((leg) => leg.member.memberId);
  }

  /** Makes the leg of a new member, in the place of a removed one if there is one. Returns null if there are too many legs. */
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
   * Makes the legs agree with the pool's member table. A member without a leg gets one: the configuration may lack the member, and the
   * table has its addresses. A leg that is being removed does not count. A leg that leads elsewhere than the table says is led to where
   * the table says, unless it takes part in IO already (L9). Returns whether a leg was changed or made.
   */
  learn(members: readonly MemberRecord[]): boolean {
    let changed = false;
    for (const member of members) {
      if (isWitness(member)) {
        if (this.#witness === null) changed = true;
        this.#witness ??= this.#newLeg(MEMBERS_MAX, member);
        if (!this.#witness.moved && !sameAddresses(this.#witness.member, member)) {
          const former = this.#witness;
          this.#witness = this.#newLeg(MEMBERS_MAX, member);
          this.giveUpSession(former);
          changed = true;
        }
        continue;
      }
      const known = this.#legs.find((leg) => leg.member.memberId === member.memberId && leg.state !== 'REMOVING');
      if (known === undefined) {
        if (this.add(member) !== null) changed = true;
      } else if (known.moved && sameAddresses(known.member, member)) {
        known.moved = false;
      } else if (!known.moved && known.state !== 'NORMAL' && !sameAddresses(known.member, member)) {
        this.#leadElsewhere(known, member);
        changed = true;
      }
    }
    return changed;
  }

  /** The stray legs that have answered. */
  get strays(): readonly Leg[] {
    return [...this.#strays.values()].filter((stray) => stray.probe !== null);
  }

  /**
   * The leg to where the configuration names the member, if the pool knows it elsewhere. Undefined if the configuration names no other
   * place.
   */
  strayOf(memberId: number): Leg | undefined {
    return this.#strays.get(memberId);
  }

  /**
   * L9: finds members that have moved. A member has moved when it has not been where the pool knows it for a while, answers where the
   * configuration names it, and `isIt` accepts it there. Its leg leads there from now on. Returns whether a member has moved. The pool
   * calls this with every tick.
   */
  followMoved(nowMs: number, poolUuid: string, isIt: (stray: Leg) => boolean): boolean {
    if (nowMs - this.#straysAskedMs >= STRAY_MS) {
      this.#straysAskedMs = nowMs;
      for (const stray of this.#strays.values()) if (stray.connected) this.#ask(stray, poolUuid);
    }
    let moved = false;
    for (const [memberId, stray] of this.#strays) {
      const leg = this.#legs.find((each) => each.member.memberId === memberId && each.state !== 'REMOVING');
      if (leg === undefined || (leg.connected && !leg.hasNoStore) || leg.state === 'NORMAL') {
        this.#missingSinceMs.delete(memberId);
        continue;
      }
      const sinceMs = this.#missingSinceMs.get(memberId) ?? nowMs;
      this.#missingSinceMs.set(memberId, sinceMs);
      if (stray.probe === null || !stray.connected || nowMs - sinceMs < MOVED_MS || !isIt(stray)) continue;
      this.#world.log.warn('a member has moved: it answers where the configuration names it, and not where the pool knew it', {
        member: memberId,
        from: leg.member.addresses.join(' '),
        to: stray.member.addresses.join(' '),
      });
      const { member } = leg;
      this.#strays.delete(memberId);
      this.#replace(leg, stray.member).moved = true;
      // The session of the stray is the leg's own now.
      this.giveUpSession(stray);
      this.#strays.set(memberId, this.#newLeg(MEMBERS_MAX + 1, member));
      this.#missingSinceMs.delete(memberId);
      moved = true;
    }
    return moved;
  }

  /** L9: why the leg is not to be believed, as its store or its host is there twice. Empty if nothing of the kind is known. */
  twice(leg: Leg): string {
    const storeUuid = leg.probe?.identity.storeUuid;
    const others = [...this.staying, ...this.#strays.values(), ...(this.#witness === null ? [] : [this.#witness])];
    for (const other of others) {
      if (other === leg || !other.connected || other.session === leg.session) continue;
      const [mine, theirs] = [leg.session.rtrs.peer, other.session.rtrs.peer];
      const isOneProcess = mine != null && theirs != null && sameIncarnation(mine, theirs);
      const [here, there] = [leg.member.addresses.join(' or '), other.member.addresses.join(' or ')];
      if (!isOneProcess && storeUuid !== undefined && other.probe?.identity.storeUuid === storeUuid)
        return `store ${storeUuid} of ${leg.describe()} is there twice, at ${here} and at ${there}: one is a copy of the other`;
      if (mine != null && theirs != null && mine.hostUuid === theirs.hostUuid && !isOneProcess)
        return `the storage nodes at ${here} (${mine.hostName}) and at ${there} (${theirs.hostName}) have one host UUID, ${mine.hostUuid}: one is a clone of the other`;
    }
    return '';
  }

  #leadElsewhere(leg: Leg, member: MemberRecord): void {
    const { memberId } = member;
    const configured = this.#options.members.find((each) => each.memberId === memberId);
    this.#world.log.warn("the client looks for a member where the pool's table has it, and not where it looked before", {
      member: memberId,
      until: leg.member.addresses.join(' '),
      now: member.addresses.join(' '),
      ...(configured === undefined ? {} : { configured: configured.addresses.join(' ') }),
    });
    this.#missingSinceMs.delete(memberId);
    // A stray leg keeps looking at the configured place, however often tables lead elsewhere: a member that has moved twice may be
    // there.
    const former = this.#strays.get(memberId);
    if (configured === undefined || sameAddresses(configured, member)) this.#strays.delete(memberId);
    else if (former === undefined || !sameAddresses(former.member, configured)) {
      const stray = this.#newLeg(MEMBERS_MAX + 1, configured);
      // What the leg has answered counts for the stray. A store that answers at both places must not be believed at one of them before
      // the other is asked again.
      if (leg.connected && sameAddresses(leg.member, configured)) stray.probe = leg.probe;
      this.#strays.set(memberId, stray);
    }
    this.#replace(leg, member);
    if (former !== undefined && this.#strays.get(memberId) !== former) this.giveUpSession(former);
  }

  /** Puts another leg in the place of one that takes part in nothing. */
  #replace(leg: Leg, member: MemberAddress): Leg {
    leg.setState('REMOVING', `its member is looked for at ${member.addresses.join(' or ')}`);
    const next = this.#newLeg(leg.index, member);
    next.remember(leg.heard);
    this.#legs[leg.index] = next;
    this.giveUpSession(leg);
    return next;
  }

  #ask(stray: Leg, poolUuid: string): void {
    stray.call({ op: 'probe', poolUuid }, probeResultSchema, (result, failure) => {
      stray.probe = stray.connected ? result : null;
      stray.problem = failure?.message ?? '';
    });
  }

  /** Removes legs to members that neither `members` nor the configuration names. An older table had them. */
  dropStrangers(members: readonly MemberRecord[]): void {
    for (const leg of this.#legs) {
      const named = [...members, ...this.#options.members].some((member) => member.memberId === leg.member.memberId);
      if (!named && leg.state !== 'REMOVING') leg.setState('REMOVING', 'it is no member any more');
    }
  }

  /**
   * The legs in `mask` that are NORMAL become FAILED. Returns their mask. L7: a leg that leaves for its own fault waits longer each time
   * before its return is tried. A leg that has lost its session returns with the next session, unless it loses sessions again and again.
   */
  fail(mask: number, reason: string, fault: LegFault = 'OTHER'): number {
    const nowMs = this.#world.clock.nowMs();
    let failed = 0;
    for (const leg of this.#legs) {
      if ((mask & leg.bit) === 0 || leg.state !== 'NORMAL') continue;
      leg.setState('FAILED', reason);
      leg.problem = '';
      leg.leftFor = reason;
      if (fault === 'STALL') leg.remedy = remedyForStalls(leg.member.name);
      leg.faults.left(leg.connected ? fault : 'LOST', nowMs, this.#delayMsMax);
      leg.returnAtMs = leg.faults.notBeforeMs;
      leg.retryAtMs = Math.min(leg.returnAtMs, nowMs + 2 * RETURN_RETRY_MS);
      failed |= leg.bit;
    }
    return failed;
  }

  get #delayMsMax(): number {
    return this.#options.returnDelayMsMax ?? RETURN_DELAY_MS_MAX_DEFAULT;
  }

  /** A session has come up. Its legs may return at once, unless they left for their own fault. */
  sessionUp(session: SharedSession): void {
    for (const leg of this.#legs) if (leg.session === session) leg.returnAtMs = Math.min(leg.returnAtMs, leg.faults.notBeforeMs);
  }

  /**
   * A session was lost. What its members have answered does not count any more. Returns the mask of its legs that are NORMAL: the caller
   * decides how these leave.
   */
  sessionDown(session: SharedSession, reason: string): number {
    let lost = 0;
    for (const stray of this.#strays.values()) if (stray.session === session) stray.probe = null;
    for (const leg of this.#legs) {
      if (leg.session !== session) continue;
      leg.probe = null;
      leg.rolledBack = null;
      leg.hasNoStore = false;
      if (leg.state === 'NORMAL') lost |= leg.bit;
      else if (leg.state === 'RECONNECTING' || leg.state === 'CREATED') leg.setState('FAILED', `path set lost: ${reason}`);
    }
    return lost;
  }

  /** The first leg that is out of the set and may try to return at `nowMs`. Undefined if there is none. */
  nextToReturn(nowMs: number, inMaintenance: (memberId: number) => boolean): Leg | undefined {
    return this.#legs.find(
      (leg) =>
        leg.connected &&
        !inMaintenance(leg.member.memberId) &&
        (leg.state === 'FAILED' || leg.state === 'CREATED' || leg.state === 'RECONNECTING') &&
        nowMs >= leg.returnAtMs,
    );
  }

  /** Legs that are out of the set for their own fault, and that can be reached, return at once. Returns false if there are none. */
  hasten(versions: { inMaintenance(memberId: number): boolean }): boolean {
    const out = this.#legs.filter((leg) => leg.connected && leg.rolledBack === null && !versions.inMaintenance(leg.member.memberId));
    const returning = out.filter(({ state, problem }) => state === 'RECONNECTING' || (state === 'FAILED' && problem === ''));
    for (const leg of returning) leg.returnAtMs = 0;
    return returning.length > 0;
  }

  /**
   * L7: IO waits for what only some members have that are out of the set. A member among these does not wait longer because of faults of
   * its disk: IO waits for it in any case. One that holds up IO does, as it would hold up other IO, too.
   */
  hastenAwaited(engine: IoEngine, maps: PoolMaps, versions: Pick<Versions, 'dataMemberIds' | 'owedIds'>): void {
    const late = this.#legs.filter(
      (leg) => leg.connected && leg.state === 'FAILED' && !leg.faults.heldUp && leg.rolledBack === null && leg.retryAtMs < leg.returnAtMs,
    );
    if (late.length === 0) return;
    const { inSyncIds } = this;
    const outIds = versions.dataMemberIds().filter((memberId) => !inSyncIds.includes(memberId));
    const { owedIds } = versions;
    const awaited = awaitedMembers({ engine, maps, inSyncIds, outIds, owedIds, nowMs: this.#world.clock.nowMs() });
    for (const leg of late) if (awaited.has(leg.member.memberId)) leg.returnAtMs = leg.retryAtMs;
  }

  /** The leg is in the set. It has returned, or the pool was assembled with it. */
  hasReturned(leg: Leg): void {
    leg.problem = '';
    leg.leftFor = '';
    leg.rolledBack = null;
    leg.faults.back(this.#world.clock.nowMs());
    leg.returnDelayMs = RETURN_RETRY_MS;
  }

  /**
   * The return of a leg ended without success. Each failed return in a row doubles the wait before the next. `heldUp`: the return held
   * up IO (L4).
   */
  hasNotReturned(leg: Leg, reason: string, heldUp = false): void {
    const nowMs = this.#world.clock.nowMs();
    if (leg.state === 'RECONNECTING') leg.setState('FAILED', reason);
    leg.problem = reason;
    if (heldUp) {
      leg.faults.returnHeldUp(nowMs, this.#delayMsMax);
      leg.remedy = remedyForStalls(leg.member.name);
    }
    leg.retryAtMs = nowMs + leg.returnDelayMs;
    leg.returnAtMs = Math.max(leg.retryAtMs, leg.faults.notBeforeMs);
    leg.returnDelayMs = Math.min(leg.returnDelayMs * 2, RETURN_RETRY_MS_MAX);
  }

  /** A leg, or a stray leg, has ended and needs its session no more. Other legs that lead to the same host go on using that session. */
  giveUpSession(leg: Leg): void {
    const others = [...this.#legs, ...this.#strays.values(), ...(this.#witness === null ? [] : [this.#witness])];
    const stays = others.some((other) => other !== leg && other.state !== 'REMOVING' && other.session === leg.session);
    if (!stays) leg.session.removeUser(this.#options.user);
  }

  /** Removes all legs, and gives up all sessions. */
  close(reason: string): void {
    this.#witness?.session.removeUser(this.#options.user);
    for (const stray of this.#strays.values()) stray.session.removeUser(this.#options.user);
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

/** What a pool's legs are made from. */
export interface LegTableOptions {
  /** The members that the configuration names, at most {@link MEMBERS_MAX}; the witness is none of them. */
  readonly members: readonly MemberAddress[];
  readonly witness: MemberAddress | null;
  /** The session to the host with these addresses, shared with other pools. */
  readonly session: (addresses: readonly string[]) => SharedSession;
  /** Hears of the sessions of all legs, the witness included. */
  readonly user: SessionUser;
  /** The longest time, in milliseconds, that a leg waits before its return is tried after it has left for its own fault (L7). */
  readonly returnDelayMsMax?: number | undefined;
}

/** L9: a member has moved when its store has been missing for this long where the pool knows it, and answers elsewhere. */
const MOVED_MS = 3_000;
/** How often a stray leg asks the node that the configuration names. */
const STRAY_MS = 2_000;
