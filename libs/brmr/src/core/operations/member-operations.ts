/** The operations that change the members of a volume, as steps. */

import type { StepDone, StepEnd } from '@rmr/operations';
import type { MemberAddress } from '@rmr/rmr';
import { OperationError } from '@rmr/runtime';
import type { NodePlace } from '../commands/node-commander.ts';
import { DONE, failed, followResync, LOOK_MS, lookAt, makeStore, type PlacedStore } from './steps.ts';
import type { Mapping, OperatedPool, StorePlace, VolumeHost } from './volume-host.ts';
import { diskProblem } from './volume-operations.ts';

/** A member that joins a volume, or takes a new store. Its identity is drawn before the first step. */
export interface MemberOrder {
  readonly poolUuid: string;
  readonly poolName: string;
  readonly store: PlacedStore;
}

/** The pool, if it is served; else the step waits for that. */
function servedPool(host: VolumeHost, uuid: string, done: StepDone): OperatedPool | null {
  const pool = host.pool(uuid);
  if (pool === null) {
    done(failed(new OperationError('NOT_FOUND', 'the volume is not mapped here any more')));
    return null;
  }
  const { state, waitingFor } = pool.status();
  if (state === 'SERVING') return pool;
  const { what = 'its members', remedy } = waitingFor ?? {};
  done({
    end: 'retry',
    what: `the volume to be served: it waits for ${what}`,
    ...(remedy === undefined ? {} : { remedy }),
    afterMs: LOOK_MS,
  });
  return null;
}

/** Looks whether the new place can be used: the disk is there, and no other member is on its node. Changes nothing. */
export function checkPlace(host: VolumeHost, { poolUuid, store }: MemberOrder, done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  const { members } = pool.status();
  const other = members.find(
    ({ memberId, addresses }) => memberId !== store.memberId && addresses.some((address) => store.addresses.includes(address)),
  );
  if (other !== undefined) {
    const sentence = `${store.node} has member ${other.memberId} of the volume already: a storage node has one store of a volume, as both would be lost with it; choose another node`;
    done(failed(new OperationError('CONFLICT', sentence)));
    return;
  }
  lookAt(
    host,
    [store],
    (looks) => {
      const problem = diskProblem(store, looks[0]?.disks ?? []);
      done(problem === null ? DONE : failed(problem));
    },
    done,
  );
}

/** Has the store of the member made. */
export function makeMemberStore(host: VolumeHost, { poolUuid, poolName, store }: MemberOrder, done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  const { geometry, version } = pool.status();
  if (geometry === null || version === null) {
    done({ end: 'retry', what: 'the volume to be served', afterMs: LOOK_MS });
    return;
  }
  const { disk, storeUuid, memberId } = store;
  const { sizeBytes, chunkSizeBytes } = geometry;
  const queueDepth = host.queueDepthOf(poolUuid);
  const { lineageUuid } = version;
  makeStore(
    host,
    store,
    { disk, storeUuid, poolUuid, poolName, memberId, lineageUuid, sizeBytes, chunkSizeBytes, queueDepth, witness: false },
    done,
  );
}

/** The member joins the table, all dirty, unless it has. */
export function join(host: VolumeHost, { poolUuid, store }: MemberOrder, done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  const known = pool.status().members.find(({ memberId }) => memberId === store.memberId);
  if (known?.storeUuid === store.storeUuid) {
    done(DONE);
    return;
  }
  pool.membership.add(addressOf(store), (error) => done(error === null ? DONE : unlessUnserved(error)));
}

/** The member gets its new store in the pool's table, unless it has. */
export function takeStore(host: VolumeHost, { poolUuid, store }: MemberOrder, giveUp: boolean, done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  const known = pool.status().members.find(({ memberId }) => memberId === store.memberId);
  if (known === undefined) done(failed(new OperationError('NOT_FOUND', `the volume has no member ${store.memberId} any more`)));
  else if (known.storeUuid === store.storeUuid) done(DONE);
  else
    pool.membership.replaceStore(store.memberId, giveUp ? 'GIVE_UP' : 'KEEP', (error) =>
      done(error === null ? DONE : unlessUnserved(error)),
    );
}

/** Takes a member out of the set on purpose, or ends that, unless it is so. */
export function setMaintenance(host: VolumeHost, poolUuid: string, memberId: number, on: boolean, done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  pool.membership.setMaintenance(memberId, on, (error) => done(error === null ? DONE : unlessUnserved(error)));
}

/** Removes a member from the table for good, unless it is gone. */
export function removeMember(host: VolumeHost, poolUuid: string, memberId: number, giveUp: boolean, done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  pool.membership.remove(memberId, giveUp ? 'GIVE_UP' : 'KEEP', (error) => done(error === null ? DONE : unlessUnserved(error)));
}

/** All data of a member becomes dirty, to be copied from the others. */
export function copyAnew(host: VolumeHost, poolUuid: string, memberId: number, giveUp: boolean, done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  pool.membership.copyAnew(memberId, giveUp ? 'GIVE_UP' : 'KEEP', (error) => done(error === null ? DONE : unlessUnserved(error)));
}

/** Changes the quorum of the volume, unless it is so. */
export function setQuorum(host: VolumeHost, poolUuid: string, quorum: Mapping['quorum'], done: StepDone): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  if (pool.status().policy.quorum === quorum) done(DONE);
  else pool.membership.setQuorum(quorum, (error) => done(error === null ? DONE : unlessUnserved(error)));
}

/** Ends once the member is in sync. */
export function awaitResync(
  host: VolumeHost,
  poolUuid: string,
  memberId: number,
  progress: (done: number, total: number) => void,
  done: StepDone,
): void {
  const pool = servedPool(host, poolUuid, done);
  if (pool === null) return;
  followResync(pool, memberId, pool.status().geometry?.sizeBytes ?? 0, progress, done);
}

/** Where a member's store is now; null: the pool has no such member. */
export function memberPlace(pool: OperatedPool, memberId: number): (NodePlace & { readonly storeUuid: string }) | null {
  const member = pool.status().members.find((each) => each.memberId === memberId);
  return member === undefined ? null : { node: member.name, addresses: member.addresses, storeUuid: member.storeUuid };
}

/** Whether a place is on the storage node that has the member now. */
export function isSameNode(member: NodePlace, place: StorePlace): boolean {
  return member.node === place.node || member.addresses.some((address) => place.addresses.includes(address));
}

function addressOf({ memberId, node, addresses }: PlacedStore): MemberAddress {
  return { memberId, name: node, addresses };
}

/** A change that a failure of the pool interrupted is made again; a refusal is an end. */
function unlessUnserved(error: OperationError): StepEnd {
  return error.code === 'UNAVAILABLE' || error.code === 'TIMEOUT'
    ? { end: 'retry', what: `the change to be recorded: ${error.message}`, afterMs: LOOK_MS }
    : failed(error);
}
