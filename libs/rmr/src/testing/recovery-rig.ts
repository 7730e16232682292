import { SILENT_LOGGER } from '@rmr/runtime';
import { type VirtualHost, VirtualWorld } from '@rmr/testing';
import { RECOVERY_RETRY_MS } from '../constants.ts';
import { Leg } from '../core/client/legs/leg.ts';
import type { Wanted } from '../core/client/pool-client-types.ts';
import { Recovery } from '../core/client/recovery/recovery.ts';
import type { Assembled, RecoveryOptions } from '../core/client/recovery/recovery-options.ts';
import type { VersionMemory } from '../core/client/versions/versions.ts';
import type { MemberRecord, VersionRecord } from '../pool-store.ts';
import type { ClaimResult, ControlRequest, ProbeResult } from '../wire/control-message.ts';
import { CLIENT, claimOf, MARK, memberOf, POOL, probeOf, versionOf } from './scripted-pool.ts';
import { ScriptedSession } from './scripted-session.ts';

/**
 * A client that brings a pool of three members into service; the members are the test. Unless it says something else, they hold
 * version 5.4 of all three.
 */
export class RecoveryRig {
  readonly virtual = new VirtualWorld();
  readonly world: VirtualHost = this.virtual.host('client-1');
  readonly sessions = [new ScriptedSession(), new ScriptedSession(), new ScriptedSession()];
  readonly legs: Leg[];
  /** What each member shows; a test changes it. */
  readonly stores = new Map<number, Partial<ProbeResult>>();
  readonly recovery: Recovery;
  memory: VersionMemory | null = null;
  /** Whether what was heard of the members leads a leg elsewhere, once; and what was heard. */
  onMembers: RecoveryOptions['onMembers'] = () => false;
  twice: RecoveryOptions['twice'] = () => '';
  /** A test answers for it. */
  witness: Leg | null = null;
  strays: readonly Leg[] = [];
  waiting: Wanted = { what: '' };
  /** What the attempt has waited for; what only narrows down what was said before is marked. */
  readonly steps: string[] = [];
  /** The client that has got the pool instead. */
  fencedBy: string | null = null;
  /** The versions that may have reached a member. */
  readonly attempts: VersionRecord[] = [];
  assembled: Assembled | null = null;
  /** How orders have ended: the code of the error, or `done`. */
  readonly ended: string[] = [];
  readonly errors: string[] = [];

  constructor() {
    this.legs = this.sessions.map(({ shared }, index) => new Leg(index, memberOf(index + 1), shared, SILENT_LOGGER, () => 0));
    this.recovery = new Recovery(this.world, this.legs, {
      ...{ poolUuid: POOL, poolName: 'p', queueDepth: 16, clientInstance: CLIENT, clientName: 'client-1' },
      ...{ quorum: 'none', takeover: 'NO', witness: () => this.witness },
      onMembers: (members) => this.onMembers(members),
      twice: (leg) => this.twice(leg),
      strays: () => this.strays,
      memory: () => this.memory,
      onWaiting: (waiting) => {
        this.waiting = waiting;
      },
      onStep: (step, narrows) => {
        this.waiting = step;
        this.steps.push(`${narrows ? '… ' : ''}${step.what}`);
      },
      onAttempt: (version) => this.attempts.push(version),
      onFenced: (by) => {
        this.fencedBy = by;
      },
      onAssembled: (assembled) => {
        this.assembled = assembled;
      },
    });
  }

  static readonly MEMBERS: ClaimResult['members'] = [1, 2, 3].map((memberId) => memberOf(memberId));
  static readonly CURRENT = versionOf(4, [1, 2, 3], { epoch: 5 });

  leg(memberId: number): Leg {
    return this.legs[memberId - 1] as Leg;
  }

  session(memberId: number): ScriptedSession {
    return this.sessions[memberId - 1] as ScriptedSession;
  }

  /** The table with this of a member. */
  table(memberId: number, entry: Partial<MemberRecord>): ClaimResult['members'] {
    const changed = { ...memberOf(memberId), ...entry };
    return RecoveryRig.MEMBERS.map((member) => (member.memberId === memberId ? { ...changed, addresses: [...changed.addresses] } : member));
  }

  /** The order to create the pool, or to force it; how it ends is noted. */
  readonly done = (error: { readonly code: string; readonly message: string } | null): void => {
    this.ended.push(error === null ? 'done' : error.code);
    this.errors.push(error?.message ?? '');
  };

  /** All requests without an answer. */
  get open(): string[] {
    return this.sessions.flatMap(({ ops }, index) => ops.map((op) => `${op} ${index + 1}`));
  }

  store(memberId: number): Partial<ProbeResult> {
    return { version: RecoveryRig.CURRENT, members: RecoveryRig.MEMBERS, ...this.stores.get(memberId) };
  }

  /** All that are connected say what they have, and once more where they are asked again (L8). */
  probe(): void {
    for (const [index, session] of this.sessions.entries())
      if (session.connected) session.next('probe').answer(probeOf(index + 1, this.store(index + 1)));
    for (const [index, session] of this.sessions.entries())
      if (session.ops[0] === 'probe') session.next('probe').answer(probeOf(index + 1, this.store(index + 1)));
  }

  begin(): void {
    this.recovery.begin();
    this.probe();
  }

  /** The next attempt begins, and all say what they have. */
  again(): void {
    this.recovery.poke();
    this.probe();
  }

  /** These grant what they have shown, unless the test says something else. */
  grant(memberIds: readonly number[], fields: (memberId: number) => Partial<ClaimResult> = () => ({})): void {
    for (const memberId of memberIds) {
      const { version = null, members = [], policy = probeOf(1).policy, past = probeOf(1).past } = this.store(memberId);
      this.session(memberId)
        .next('claim')
        .answer(claimOf({ version, members, policy, past, ...fields(memberId) }));
    }
  }

  /** These take over the maps, record the version and are enabled; returns what was recorded. */
  serve(memberIds: readonly number[]): (ControlRequest & { op: 'record-version' })[] {
    const recorded = this.record(memberIds);
    for (const memberId of memberIds) this.session(memberId).next('enable').answer();
    return recorded;
  }

  /** These take over the maps, and record the version, which is what they show from now on. */
  record(memberIds: readonly number[]): (ControlRequest & { op: 'record-version' })[] {
    for (const { calls } of this.sessions) while (calls[0]?.request.op === 'map-stage') calls.shift()?.answer();
    return memberIds.map((memberId) => {
      const call = this.session(memberId).next('record-version');
      const { version, members, policy } = call.request;
      this.stores.set(memberId, { ...this.stores.get(memberId), version, members, policy });
      call.answer({ owed: [], mark: MARK });
      return call.request;
    });
  }

  /** The session is lost, and what its member has said with it, as the pool's client does. */
  cut(...memberIds: readonly number[]): void {
    for (const memberId of memberIds) {
      this.session(memberId).cut();
      this.leg(memberId).probe = null;
      this.recovery.sessionDown(this.session(memberId).shared);
    }
  }

  pass(ms = 4 * RECOVERY_RETRY_MS): void {
    this.virtual.run(ms);
    this.recovery.tick(this.world.clock.nowMs());
  }

  /** What the last version that was recorded is. */
  get version(): VersionRecord | undefined {
    return this.assembled?.version;
  }
}

/** What a member is found with; both its answers say so. */
export type RigStore = Pick<ProbeResult, 'version' | 'members' | 'policy' | 'past'>;
