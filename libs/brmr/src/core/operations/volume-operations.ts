/** The operations that make, map, unmap and delete volumes, as steps. */
import type { StepDone } from '@rmr/operations';
import { OperationError } from '@rmr/runtime';
import type { NodePlace } from '../commands/node-commander.ts';
import type { StoreOrder } from '../commands/node-commands.ts';
import { DONE, destroyStore, failed, forEachOf, LOOK_MS, lookAt, makeStore, type PlacedStore } from './steps.ts';
import type { Mapping, StorePlace, VolumeHost } from './volume-host.ts';

/** What a volume is to be. The UUIDs are drawn before the first step, and are part of the order from then on. */
export interface CreateOrder {
  readonly poolUuid: string;
  readonly lineageUuid: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly queueDepth: number;
  readonly quorum: 'none' | 'majority';
  readonly exportName: string | null;
  readonly stores: readonly PlacedStore[];
  /** One of the stores; null: the volume has no witness. */
  readonly witnessId: number | null;
}

/** Draws the identities of a new volume and of its stores. Members get ids from 1, in order, and the witness the next one. */
export function createOrder(
  host: VolumeHost,
  wanted: Omit<CreateOrder, 'poolUuid' | 'lineageUuid' | 'stores' | 'witnessId'>,
  members: readonly StorePlace[],
  witness: StorePlace | null,
): CreateOrder {
  const stores = [...members, ...(witness === null ? [] : [witness])].map(({ node, addresses, disk }, index) => ({
    node,
    addresses,
    disk,
    memberId: index + 1,
    storeUuid: host.newUuid(),
  }));
  const witnessId = witness === null ? null : stores.length;
  return { ...wanted, poolUuid: host.newUuid(), lineageUuid: host.newUuid(), stores, witnessId };
}

/** Why the order makes no sense by itself; null: it does. */
export function createProblem(order: CreateOrder): OperationError | null {
  const nodes = new Set<string>();
  const addresses = new Set<string>();
  for (const store of order.stores) {
    const isTwice = nodes.has(store.node) || store.addresses.some((address) => addresses.has(address));
    if (isTwice)
      return new OperationError(
        'INVALID_ARGUMENT',
        `${store.node} is named for two stores of ${order.name}: a storage node has one store of a volume, as both would be lost with it; choose another node`,
      );
    nodes.add(store.node);
    for (const address of store.addresses) addresses.add(address);
  }
  if (order.stores.length - (order.witnessId === null ? 0 : 1) < 1)
    return new OperationError('INVALID_ARGUMENT', `${order.name} needs at least one member with data`);
  return null;
}

/** The mapping of a volume that is created. */
export function mappingOf({ poolUuid, name, quorum, exportName, stores, witnessId, queueDepth }: CreateOrder): Mapping {
  const member = ({ memberId, node, addresses }: PlacedStore) => ({ memberId, name: node, addresses });
  const witness = stores.find(({ memberId }) => memberId === witnessId);
  return {
    uuid: poolUuid,
    name,
    members: stores.filter(({ memberId }) => memberId !== witnessId).map(member),
    witness: witness === undefined ? null : member(witness),
    quorum,
    exportName,
    readOnly: false,
    queueDepth,
  };
}

/** Looks whether every node and disk is there, and has room. Changes nothing. */
export function checkPlaces(host: VolumeHost, order: CreateOrder, done: StepDone): void {
  const conflict = host.conflictOf(mappingOf(order));
  if (conflict !== null) {
    done(failed(conflict));
    return;
  }
  lookAt(
    host,
    order.stores,
    (looks) => {
      const hosts = new Map<string, string>();
      for (const [index, look] of looks.entries()) {
        const store = order.stores[index] as PlacedStore;
        const other = hosts.get(look.hostUuid);
        hosts.set(look.hostUuid, store.node);
        const sentence = `${store.node} and ${other} are the same storage node (${look.hostName}): choose places on different ones`;
        const twice = other === undefined ? null : new OperationError('INVALID_ARGUMENT', sentence);
        const problem = twice ?? diskProblem(store, look.disks);
        if (problem !== null) {
          done(failed(problem));
          return;
        }
      }
      done(DONE);
    },
    done,
  );
}

/** Why a store can't be made on a disk; null: it can, as far as its node knows. */
export function diskProblem(
  { node, disk }: { readonly node: string; readonly disk: string },
  disks: readonly { readonly name: string; readonly problem: string }[],
): OperationError | null {
  const found = disks.find(({ name }) => name === disk);
  if (found === undefined) {
    const names = disks.map(({ name }) => name).join(', ') || 'none';
    return new OperationError('NOT_FOUND', `${node} has no disk ${disk}; it has: ${names}`);
  }
  return found.problem === '' ? null : new OperationError('CONFLICT', `the disk ${disk} of ${node} can't be used: ${found.problem}`);
}

/** Has every store made. */
export function makeStores(host: VolumeHost, order: CreateOrder, done: StepDone): void {
  forEachOf(order.stores, (store, one) => makeStore(host, store, storeOrderOf(order, store), one), done);
}

/** Takes back what {@link makeStores} has made, also in part. */
export function destroyStores(host: VolumeHost, order: CreateOrder, done: StepDone): void {
  forEachOf(order.stores, (store, one) => destroyStore(host, store, store.storeUuid, order.poolUuid, one), done);
}

function storeOrderOf(order: CreateOrder, { disk, storeUuid, memberId }: PlacedStore): StoreOrder {
  const { poolUuid, name: poolName, lineageUuid, sizeBytes, chunkSizeBytes, queueDepth } = order;
  const witness = memberId === order.witnessId;
  return { disk, storeUuid, poolUuid, poolName, memberId, lineageUuid, sizeBytes, chunkSizeBytes, queueDepth, witness };
}

/** Remembers the mapping, then opens the pool: after a crash in between, the next start opens it. */
export function mapPool(host: VolumeHost, mapping: Mapping, done: StepDone): void {
  if (host.pool(mapping.uuid) !== null) {
    done(DONE);
    return;
  }
  const conflict = host.conflictOf(mapping);
  if (conflict !== null) {
    done(failed(conflict));
    return;
  }
  host.remember(mapping, (error) => {
    if (error !== null) {
      done(failed(error));
      return;
    }
    host.map(mapping);
    done(DONE);
  });
}

/** Forgets the mapping, then takes the pool out of service. */
export function unmapPool(host: VolumeHost, uuid: string, done: StepDone): void {
  host.forget(uuid, (error) => {
    if (error !== null) done(failed(error));
    else host.unmap(uuid, () => done(DONE));
  });
}

/** Brings the pool into being (C0), unless it is: its stores were made for it, and have never been in service. */
export function bringIntoBeing(host: VolumeHost, uuid: string, done: StepDone): void {
  const pool = host.pool(uuid);
  const status = pool?.status();
  if (pool === null || status === undefined) done(failed(new OperationError('NOT_FOUND', 'the volume is not mapped any more')));
  else if (status.geometry !== null) done(DONE);
  else
    pool.create((error) => {
      // Nobody else creates it: it exists because this operation was interrupted just then. Whether it is served, the next look says.
      if (error === null) done(DONE);
      else if (error.code === 'CONFLICT' || error.code === 'UNAVAILABLE')
        done({ end: 'retry', what: `the volume to come into being: ${error.message}`, afterMs: LOOK_MS });
      else done(failed(error));
    });
}

/** Ends once the pool is served. */
export function awaitService(host: VolumeHost, uuid: string, done: StepDone): void {
  const status = host.pool(uuid)?.status();
  if (status === undefined) done(failed(new OperationError('NOT_FOUND', 'the volume is not mapped any more')));
  else if (status.state === 'SERVING') done(DONE);
  else if (status.state === 'STOPPED')
    done(
      failed(
        new OperationError('CONFLICT', `the volume is not served here any more: ${status.waitingFor?.what ?? 'another client has it'}`),
      ),
    );
  else {
    const { what = 'its members', remedy } = status.waitingFor ?? {};
    done({ end: 'retry', what, ...(remedy === undefined ? {} : { remedy }), afterMs: LOOK_MS });
  }
}

/** A volume that another client node serves, and that this one is to serve. */
export interface TakeoverOrder {
  readonly mapping: Mapping;
  /** Whether it is taken from a client node that is alive and does not hand it over. Else that node is asked for it. */
  readonly force: boolean;
  /** Whether NBD clients of the other client node may be cut off. */
  readonly evenIfConnected: boolean;
  /** Whether the volume was mapped here before, and waited to be served. Then it stays mapped when the operation is cancelled. */
  readonly wasMapped: boolean;
}

/**
 * Maps the volume. A pool that was taken from this node before is mapped anew: as it was fenced, it would never be served here again (C3).
 */
export function mapToTakeOver(host: VolumeHost, { mapping }: TakeoverOrder, done: StepDone): void {
  if (host.pool(mapping.uuid)?.status().state !== 'FENCED') mapPool(host, mapping, done);
  else host.unmap(mapping.uuid, () => mapPool(host, mapping, done));
}

/** Asks for the volume, or takes it, and ends once it is served here. */
export function takeOver(host: VolumeHost, { mapping, force, evenIfConnected }: TakeoverOrder, done: StepDone): void {
  host.pool(mapping.uuid)?.takeOver(force ? 'FORCE' : evenIfConnected ? 'ASK_EVEN_IN_USE' : 'ASK');
  awaitService(host, mapping.uuid, done);
}

/** Takes back what {@link takeOver} has asked for. */
export function stopAsking(host: VolumeHost, { mapping, wasMapped }: TakeoverOrder, done: StepDone): void {
  host.pool(mapping.uuid)?.takeOver('NO');
  if (wasMapped) done(DONE);
  else unmapPool(host, mapping.uuid, done);
}

/** A member of a volume that is to be deleted: where its store is. */
export interface DoomedStore extends NodePlace {
  readonly storeUuid: string;
}

/** All members of a pool, witness included, as its own records have them. */
export function doomedStores(host: VolumeHost, uuid: string): readonly DoomedStore[] {
  const members = host.pool(uuid)?.status().members ?? [];
  return members.map(({ name, addresses, storeUuid }) => ({ node: name, addresses, storeUuid }));
}

/** Has every store of a deleted volume destroyed. A node that is away is waited for: its store would come back as a pool that nobody knows. */
export function destroyAll(host: VolumeHost, poolUuid: string, stores: readonly DoomedStore[], done: StepDone): void {
  forEachOf(stores, (store, one) => destroyStore(host, store, store.storeUuid, poolUuid, one), done);
}

/** Refuses what would take a volume from NBD clients that use it. */
export function usedProblem(host: VolumeHost, uuid: string, name: string): OperationError | null {
  const connections = host.connectionsOf(uuid);
  if (connections === 0) return null;
  const clients = connections === 1 ? 'an NBD client is' : `${connections} NBD clients are`;
  return new OperationError('CONFLICT', `${clients} connected to ${name}: disconnect them first, or say that they may be cut off`);
}
