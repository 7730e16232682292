/** What the operations of a client node work with: the pools that it maps, what it remembers of them, and the way to storage nodes. */
import type { LastCopies, MemberAddress, OperationDone, PoolClientStatus, TakeoverWay } from '@rmr/rmr';
import type { OperationError } from '@rmr/runtime';
import type { CommandWay, NodePlace } from '../commands/node-commander.ts';

export interface VolumeHost {
  readonly way: CommandWay;
  /** The pool that is mapped with this UUID; null: none is. */
  pool(uuid: string): OperatedPool | null;
  /** Why a pool can't be mapped beside those that are; null: it can, or it is mapped already. */
  conflictOf(mapping: Mapping): OperationError | null;
  /** Opens the pool and its export, unless they are open. */
  map(mapping: Mapping): void;
  /** Takes the pool and its export out of service, if they are in service. */
  unmap(uuid: string, done: () => void): void;
  /** The number of IO units with which new stores of the pool are made: at least what the pool is mapped with. */
  queueDepthOf(uuid: string): number;
  /** NBD clients that use the export at the moment. */
  connectionsOf(uuid: string): number;
  /** Remembers durably that the pool is mapped. `done` is called once that is so, or has failed. */
  remember(mapping: Mapping, done: (error: OperationError | null) => void): void;
  /** Forgets durably that the pool is mapped. */
  forget(uuid: string, done: (error: OperationError | null) => void): void;
  newUuid(): string;
}

/** A pool as a client node maps it, and remembers it beyond its restart. */
export interface Mapping {
  readonly uuid: string;
  readonly name: string;
  readonly members: readonly MemberAddress[];
  readonly witness: MemberAddress | null;
  readonly quorum: 'none' | 'majority';
  readonly exportName: string | null;
  readonly readOnly: boolean;
  readonly queueDepth: number;
}

/** A place for a store: a disk of a storage node. */
export interface StorePlace extends NodePlace {
  readonly disk: string;
}

/** What the operations need of a pool that is mapped. RMR-client's `PoolClient` has it. */
export interface OperatedPool {
  status(): PoolClientStatus;
  readonly membership: {
    setMaintenance(memberId: number, on: boolean, done: OperationDone): void;
    add(member: MemberAddress, done: OperationDone): void;
    remove(memberId: number, lastCopies: LastCopies, done: OperationDone): void;
    replaceStore(memberId: number, lastCopies: LastCopies, done: OperationDone): void;
    copyAnew(memberId: number, lastCopies: LastCopies, done: OperationDone): void;
    setQuorum(quorum: Mapping['quorum'], done: OperationDone): void;
  };
  create(done: OperationDone): void;
  takeOver(way: TakeoverWay): void;
}
