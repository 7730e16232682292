import { assert } from '@rmr/runtime';
import { overlapsAny } from '../../../ranges.ts';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { IoEngine } from '../io/io-engine.ts';
import type { IoRequest } from '../io/io-request.ts';
import type { PoolMaps } from '../pool-maps.ts';

/** Says what the requests of a served pool wait for, the oldest first. It goes through all requests, so it is for status only. */
export function poolWaits(view: WaitView): PoolWait[] {
  const waits = new Map<string, PoolWait>();
  const { gate } = view;
  if (gate !== null) waits.set(gate.what, { ...gate, requests: 0 });
  let unanswered = 0;
  view.engine.forEachRequest((request, isSent, pending) => {
    if (isSent && isOld(view, request)) unanswered |= pending;
    const found =
      waitOf(view, request) ??
      (isSent ? legWait(view, request, pending) : (sessionWait(view, request) ?? legWait(view, request, unanswered)));
    if (found === null) return;
    const { kind, what } = found;
    const sinceMs = view.wallMs - view.nowMs + request.submittedAtMs;
    const known = waits.get(what);
    if (known === undefined) waits.set(what, { kind, what, sinceMs, requests: 1, remedy: found.remedy?.() });
    else waits.set(what, { ...known, sinceMs: Math.min(known.sinceMs, sinceMs), requests: known.requests + 1 });
  });
  return [...waits.values()].sort((a, b) => a.sinceMs - b.sinceMs);
}

/**
 * A request is reported after this time, in milliseconds, if a member has not answered it, has to pull its chunks first, or has no place
 * in a session for it. Before that, it is ordinary work.
 */
const PULL_MS = 1_000;

/**
 * What IO of a served pool waits for besides its turn:
 * - `VERSION`: for its members to record a version.
 * - `QUORUM`: for enough members to record a version. For reads: for a majority to answer that it still serves this client.
 * - `MAP_UPDATE`: for a returning member to be handed the dirty maps (L4).
 * - `CHUNK`: for chunks that no in-sync member has clean, or not every in-sync member.
 * - `FLUSH`: a flush waits for chunks that no in-sync member has clean (◆8).
 * - `OWED`: for map adds that would take the last clean copy (V5).
 * - `SESSION`: for a place in the session to a member's host, which does not answer what it was sent.
 * - `LEG`: for a member to answer what it was sent for this pool.
 */
export type PoolWaitKind = 'VERSION' | 'QUORUM' | 'MAP_UPDATE' | 'CHUNK' | 'FLUSH' | 'OWED' | 'SESSION' | 'LEG';

/** Something that IO of a pool waits for. */
export interface PoolWait {
  readonly kind: PoolWaitKind;
  readonly what: string;
  /** Since when IO waits for it, wall clock: the time at which the oldest waiting request was submitted. */
  readonly sinceMs: number;
  /** The number of requests that wait for it. */
  readonly requests: number;
  /** What a person can do about it. Absent if nothing is known that would help. */
  readonly remedy?: string | undefined;
}

/** A state of the whole pool that holds up writes and flushes. Without a quorum it holds up reads, too. */
export interface PoolGate {
  readonly kind: 'VERSION' | 'QUORUM' | 'MAP_UPDATE';
  readonly what: string;
  readonly sinceMs: number;
  readonly remedy?: string | undefined;
}

/** The members that have the chunk clean, for people. */
export function describeHolders(view: Pick<WaitView, 'maps' | 'memberIds' | 'describe'>, chunk: number): string {
  const holders = holderIds(view, chunk);
  const { describe } = view;
  return holders.length === 0 ? 'no member that is known' : holders.map(describe).join(' and ');
}

function holderIds({ maps, memberIds }: Pick<WaitView, 'maps' | 'memberIds'>, chunk: number): number[] {
  return memberIds.filter((memberId) => !maps.of(memberId).test(chunk));
}

/** What a request waits for. The remedy is worked out once per wait, and not per request. */
interface RequestWait {
  readonly kind: PoolWaitKind;
  readonly what: string;
  readonly remedy?: () => string | undefined;
}

function waitOf(view: WaitView, request: IoRequest): RequestWait | null {
  const { maps, inSyncIds, gate, describe } = view;
  const writes = isWriteType(request.type);
  if (gate !== null && (gate.kind === 'QUORUM' || writes || request.type === MessageType.FLUSH))
    return { kind: gate.kind, what: gate.what };
  if (view.readsHeld && !writes && request.type !== MessageType.FLUSH)
    return {
      kind: 'QUORUM',
      what: 'a majority of the members to answer that they still serve this client',
      remedy: view.majorityRemedy,
    };
  if (request.type === MessageType.EXTENTS) return null;
  if (request.type === MessageType.FLUSH) {
    const chunk = maps.heldElsewhere(inSyncIds);
    if (chunk < 0) return null;
    return {
      kind: 'FLUSH',
      what: `chunks that only ${describeHolders(view, chunk)} has clean: they may not be durable there`,
      remedy: () => view.remedy(holderIds(view, chunk)),
    };
  }
  if (writes && overlapsAny(request, view.engine.owed)) {
    return {
      kind: 'OWED',
      what: `an in-sync member to have clean what only ${view.owedIds.map(describe).join(' and ')} has, or that one to come back`,
      remedy: () => view.remedy(view.owedIds),
    };
  }
  const first = maps.firstOf(request.offsetBytes);
  const end = maps.endOf(request.offsetBytes, request.lengthBytes);
  for (let chunk = maps.dirtyForAll(inSyncIds, first, end); chunk >= 0; chunk = maps.dirtyForAll(inSyncIds, chunk + 1, end)) {
    if (writes && coversChunk(maps, request, chunk)) continue;
    if (maps.isLost(chunk)) return { kind: 'CHUNK', what: 'the in-sync members to confirm that chunks are lost: then it fails' };
    const what = `chunks that only ${describeHolders(view, chunk)} has clean`;
    return { kind: 'CHUNK', what, remedy: () => view.remedy(holderIds(view, chunk)) };
  }
  if (!isOld(view, request)) return null;
  if (request.failedMask !== 0) {
    const absent = view.memberIds.filter((memberId) => !inSyncIds.includes(memberId));
    return {
      kind: 'CHUNK',
      what: `chunks that a disk of the in-sync members can't read, and that ${absent.map(describe).join(' and ')} may have`,
      remedy: () => view.remedy(absent),
    };
  }
  // A write goes to every in-sync member. A read goes to one that has all of its range clean, if there is one.
  const behind = inSyncIds.filter((memberId) => maps.anyDirty(memberId, request.offsetBytes, request.lengthBytes));
  if (behind.length === 0 || (!writes && behind.length < inSyncIds.length)) return null;
  return { kind: 'CHUNK', what: `chunks that ${behind.map(describe).join(' and ')} has to pull first: its storage node says from where` };
}

function isOld({ nowMs }: WaitView, { submittedAtMs }: IoRequest): boolean {
  return nowMs - submittedAtMs >= PULL_MS;
}

/** What a request waits for that was sent, or that waits for requests that were sent: answers of these members. */
function legWait(view: WaitView, request: IoRequest, pending: number): RequestWait | null {
  if (pending === 0 || !isOld(view, request)) return null;
  const ids = view.idsOf(pending);
  return {
    kind: 'LEG',
    what: `${ids.map(view.describe).join(' and ')} to answer what was sent more than a second ago`,
    remedy: () => view.remedy(ids),
  };
}

/** What a request waits for that could be sent, and has no place in a session. All pools with members on a host share the session to it. */
function sessionWait(view: WaitView, request: IoRequest): RequestWait | null {
  const { fullIds, describe, remedy } = view;
  if (fullIds.length === 0 || !isOld(view, request)) return null;
  return {
    kind: 'SESSION',
    what: `the storage node of ${fullIds.map(describe).join(' and ')} to answer what this node has sent it for all of its pools`,
    remedy: () => remedy(fullIds),
  };
}

/** Whether the range covers the whole chunk, so that a write need not wait for the chunk (W4). */
function coversChunk(maps: PoolMaps, { offsetBytes, lengthBytes }: IoRequest, chunk: number): boolean {
  assert(chunk < maps.chunkCount, 'pool waits: a chunk beyond the device');
  return maps.covers(offsetBytes, lengthBytes, chunk);
}

/** What {@link poolWaits} looks at. */
export interface WaitView {
  readonly engine: Pick<IoEngine, 'owed' | 'forEachRequest'>;
  readonly maps: PoolMaps;
  readonly inSyncIds: readonly number[];
  /** Null if no state of the pool holds up its IO. */
  readonly gate: PoolGate | null;
  /** Reads wait for a majority to answer that this client is served (I7). */
  readonly readsHeld: boolean;
  /** `member 2 (storage-2)`. For a member that is out of the in-sync set also its state. */
  readonly describe: (memberId: number) => string;
  /** What a person can do so that those of these members return that are away. Undefined if nothing is known that would help. */
  readonly remedy: (memberIds: readonly number[]) => string | undefined;
  /** The same for a pool that lacks a majority. */
  readonly majorityRemedy: () => string | undefined;
  /** All members of the pool. */
  readonly memberIds: readonly number[];
  /** The members that owed adds are for. */
  readonly owedIds: readonly number[];
  /** In-sync members whose session takes no more requests. */
  readonly fullIds: readonly number[];
  /** The members of the legs in a mask. */
  readonly idsOf: (mask: number) => readonly number[];
  readonly nowMs: number;
  readonly wallMs: number;
}
