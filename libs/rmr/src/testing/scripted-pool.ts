import type { SharedSession } from '../core/shared-session.ts';
import type { MemberRecord, SeenMark, StoreIdentity, VersionRecord } from '../pool-store.ts';
import type { ClaimResult, MarkResult, ProbeResult, StorePast } from '../wire/control-message.ts';
import { ScriptedSession } from './scripted-session.ts';

/** The sessions to members, opened when they are asked for. */
export class ScriptedSessions {
  readonly #sessions = new Map<string, ScriptedSession>();

  /** What production code asks. */
  to(addresses: readonly string[]): SharedSession {
    return this.at(addresses.join(' ')).shared;
  }

  /** The session to a member. */
  of({ memberId }: Pick<MemberRecord, 'memberId'>): ScriptedSession {
    return this.at(`memory:${memberId}`);
  }

  at(address: string): ScriptedSession {
    const session = this.#sessions.get(address) ?? new ScriptedSession();
    this.#sessions.set(address, session);
    return session;
  }

  /** The addresses of those that somebody uses. */
  get inUse(): string[] {
    return [...this.#sessions].filter(([, { users }]) => users.size > 0).map(([address]) => address);
  }

  /** All of them, by address. */
  all(): [address: string, session: ScriptedSession][] {
    return [...this.#sessions];
  }
}

/** A pool as unit tests know it: members 1 to 9, and what belongs to them. */
export const POOL = '00000000-0000-4000-8000-000000000001';
export const LINEAGE = '00000000-0000-4000-8000-000000000002';
export const OTHER_LINEAGE = '00000000-0000-4000-8000-000000000003';
export const CLIENT = '00000000-0000-4000-8000-00000000000a';
export const RIVAL = '00000000-0000-4000-8000-00000000000b';
export const POLICY: ClaimResult['policy'] = { quorum: 'none', highestMemberId: 3, formerLineages: [] };

/** The UUID of a member's store. */
export function storeOf(memberId: number): string {
  return `00000000-0000-4000-8000-0000000000${memberId}0`;
}

export function memberOf(memberId: number, role?: 'witness'): ClaimResult['members'][number] {
  const member = { memberId, storeUuid: storeOf(memberId), name: `storage-${memberId}`, addresses: [`memory:${memberId}`] };
  return role === undefined ? member : { ...member, role };
}

export function versionOf(
  seq: number,
  memberIds: readonly number[],
  fields: Partial<VersionRecord> = {},
): NonNullable<ClaimResult['version']> {
  const { lineageUuid = LINEAGE, epoch = 1, horizon = 0 } = fields;
  return { lineageUuid, epoch, seq, horizon, inSync: memberIds.map((memberId) => ({ memberId, storeUuid: storeOf(memberId) })) };
}

/** The store of a member of a pool with `chunks` chunks, the last of which is `short` bytes short. */
export function identityOf(memberId: number, chunks: number, chunkSizeBytes: number, short = 0): StoreIdentity {
  return {
    storeUuid: storeOf(memberId),
    poolUuid: POOL,
    poolName: 'p',
    memberId,
    sizeBytes: chunks * chunkSizeBytes - short,
    chunkSizeBytes,
    queueDepth: 16,
    createdZeroed: true,
  };
}

/** The UUID of a life of a store. */
export function lifeOf(number: number): string {
  return `00000000-0000-4000-8000-00000000f${String(number).padStart(3, '0')}`;
}

/** What stores show of their past, unless a test says something else: they are in their second life. */
export const PAST: StorePast = {
  age: 20,
  lives: [
    { lifeUuid: lifeOf(1), firstAge: 1, lastAge: 9, openedAtMs: 1_000 },
    { lifeUuid: lifeOf(2), firstAge: 10, lastAge: null, openedAtMs: 2_000 },
  ],
};

/** The mark of a store that shows {@link PAST}, in an answer. */
export const MARK: MarkResult['mark'] = { lifeUuid: lifeOf(2), age: PAST.age };

/** What somebody remembers of a store: without `age` what {@link PAST} shows. */
export function seenOf(age: number = PAST.age, life = 2, atMs = 5_000): SeenMark {
  return { lifeUuid: lifeOf(life), age, atMs };
}

/** What a member answers to a probe: a store of 16 chunks, without a version unless the test says so. */
export function probeOf(memberId: number, fields: Partial<ProbeResult> = {}): ProbeResult {
  return {
    poolHandle: 1,
    state: 'REGISTERED',
    identity: identityOf(memberId, 16, 4096),
    features: { fastPunch: true, fastZero: true, extents: true },
    promise: null,
    version: null,
    members: [],
    policy: POLICY,
    volatileLost: false,
    past: PAST,
    released: false,
    missedBytes: 0,
    ...fields,
  };
}

/** What a member grants. */
export function claimOf(fields: Partial<ClaimResult> = {}): ClaimResult {
  return {
    version: null,
    members: [],
    policy: POLICY,
    volatileLost: false,
    lastIo: [],
    lastWriteSeq: 0,
    intent: [],
    unreadable: [],
    columns: [],
    past: PAST,
    ...fields,
  };
}
