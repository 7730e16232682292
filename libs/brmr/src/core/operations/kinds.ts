/**
 * The operations on volumes that a client node drives, each as a list of steps. What a step does stands in `volume-operations.ts` and
 * `member-operations.ts`; here is the order of the steps, how each is undone, and from when on an operation can't be cancelled any more.
 */
import type { OperationKind, OperationStep, StepContext, StepDone } from '@rmr/operations';
import {
  awaitResync,
  checkPlace,
  copyAnew,
  join,
  type MemberOrder,
  makeMemberStore,
  removeMember,
  setMaintenance,
  setQuorum,
  takeStore,
} from './member-operations.ts';
import { DONE, destroyStore, setStoreOpen } from './steps.ts';
import type { Mapping, VolumeHost } from './volume-host.ts';
import {
  awaitService,
  bringIntoBeing,
  type CreateOrder,
  checkPlaces,
  type DoomedStore,
  destroyAll,
  destroyStores,
  makeStores,
  mapPool,
  mappingOf,
  mapToTakeOver,
  stopAsking,
  type TakeoverOrder,
  takeOver,
  unmapPool,
  usedProblem,
} from './volume-operations.ts';

/** The inputs of the kinds. They are part of the journal: fields are only ever added. */
export interface OperationInputs {
  readonly 'volume-create': CreateOrder;
  readonly 'volume-map': Mapping;
  readonly 'volume-takeover': TakeoverOrder;
  readonly 'volume-unmap': { readonly poolUuid: string; readonly name: string; readonly evenIfConnected: boolean };
  readonly 'volume-delete': {
    readonly poolUuid: string;
    readonly name: string;
    readonly evenIfConnected: boolean;
    readonly stores: readonly DoomedStore[];
  };
  readonly 'member-add': MemberOrder;
  readonly 'member-remove': { readonly poolUuid: string; readonly memberId: number; readonly giveUp: boolean; readonly store: DoomedStore };
  /** `store` is the member that joins, `formerId` and `former` the one that it takes the place of. */
  readonly 'member-move': MemberOrder & { readonly formerId: number; readonly giveUp: boolean; readonly former: DoomedStore };
  /** `store` is the new store of the member, on the same node; `former` the store that it replaces. */
  readonly 'store-replace': MemberOrder & { readonly giveUp: boolean; readonly former: DoomedStore };
  readonly 'maintenance-on': { readonly poolUuid: string; readonly memberId: number };
  readonly 'maintenance-off': { readonly poolUuid: string; readonly memberId: number };
  readonly 'set-quorum': { readonly poolUuid: string; readonly quorum: Mapping['quorum'] };
  readonly 'resync-anew': { readonly poolUuid: string; readonly memberId: number; readonly giveUp: boolean };
}
export type VolumeOperation = keyof OperationInputs;

type Run<Input> = (context: StepContext<Input>, done: StepDone) => void;

/** All kinds of operations on the volumes of a client node. */
export function volumeOperationKinds(host: VolumeHost): OperationKind<never>[] {
  const kind = <Kind extends VolumeOperation>(
    name: Kind,
    steps: readonly OperationStep<OperationInputs[Kind]>[],
  ): OperationKind<never> => ({ kind: name, steps: steps as unknown as readonly OperationStep<never>[] });

  const inUse: Run<{ readonly poolUuid: string; readonly name: string; readonly evenIfConnected: boolean }> = ({ input }, done) => {
    const problem = input.evenIfConnected ? null : usedProblem(host, input.poolUuid, input.name);
    done(problem === null ? DONE : { end: 'failed', error: problem });
  };
  const makeStore = <Input extends MemberOrder>(): OperationStep<Input> => ({
    name: 'store',
    sentence: 'makes the store of the new member',
    run: ({ input }, done) => makeMemberStore(host, input, done),
    undo: ({ input }, done) => destroyStore(host, input.store, input.store.storeUuid, input.poolUuid, done),
  });
  const resync = <Input>(memberOf: (input: Input) => { readonly poolUuid: string; readonly memberId: number }): OperationStep<Input> => ({
    name: 'resync',
    sentence: 'waits until the member has copied all that it misses',
    run: ({ input, progress }, done) => {
      const { poolUuid, memberId } = memberOf(input);
      awaitResync(host, poolUuid, memberId, (copied, total) => progress(copied, total, 'bytes'), done);
    },
  });
  const memberOf = ({ poolUuid, store }: MemberOrder) => ({ poolUuid, memberId: store.memberId });

  return [
    kind('volume-create', [
      { name: 'check', sentence: 'looks at the disks that were chosen', run: ({ input }, done) => checkPlaces(host, input, done) },
      {
        name: 'stores',
        sentence: 'makes the stores',
        run: ({ input }, done) => makeStores(host, input, done),
        undo: ({ input }, done) => destroyStores(host, input, done),
      },
      {
        name: 'map',
        sentence: 'maps the volume on this node',
        run: ({ input }, done) => mapPool(host, mappingOf(input), done),
        undo: ({ input }, done) => unmapPool(host, input.poolUuid, done),
      },
      {
        name: 'birth',
        sentence: 'brings the volume into being',
        tooLate: 'the volume comes into being: delete it when it is there',
        run: ({ input }, done) => bringIntoBeing(host, input.poolUuid, done),
      },
      {
        name: 'service',
        sentence: 'waits until the volume is served',
        run: ({ input }, done) => awaitService(host, input.poolUuid, withResult(done, { poolUuid: input.poolUuid, name: input.name })),
      },
    ]),
    kind('volume-map', [
      {
        name: 'map',
        sentence: 'maps the volume on this node',
        run: ({ input }, done) => mapPool(host, input, done),
        undo: ({ input }, done) => unmapPool(host, input.uuid, done),
      },
      {
        name: 'service',
        sentence: 'waits until the volume is served',
        run: ({ input }, done) => awaitService(host, input.uuid, withResult(done, { poolUuid: input.uuid, name: input.name })),
      },
    ]),
    kind('volume-takeover', [
      {
        name: 'map',
        sentence: 'maps the volume on this node',
        run: ({ input }, done) => mapToTakeOver(host, input, done),
        undo: ({ input }, done) => stopAsking(host, input, done),
      },
      {
        name: 'take',
        sentence: 'takes the volume over from the client node that serves it',
        run: ({ input }, done) => takeOver(host, input, withResult(done, { poolUuid: input.mapping.uuid, name: input.mapping.name })),
      },
    ]),
    kind('volume-unmap', [
      { name: 'check', sentence: 'looks whether NBD clients are connected', run: inUse },
      {
        name: 'unmap',
        sentence: 'takes the volume out of service on this node',
        tooLate: 'the volume is being taken out of service: map it again',
        run: ({ input }, done) => unmapPool(host, input.poolUuid, done),
      },
    ]),
    kind('volume-delete', [
      { name: 'check', sentence: 'looks whether NBD clients are connected', run: inUse },
      {
        name: 'unmap',
        sentence: 'takes the volume out of service',
        tooLate: 'the volume is out of service, and its stores are destroyed',
        run: ({ input }, done) => unmapPool(host, input.poolUuid, done),
      },
      {
        name: 'destroy',
        sentence: 'destroys the stores',
        run: ({ input }, done) => destroyAll(host, input.poolUuid, input.stores, done),
      },
    ]),
    kind('member-add', [
      { name: 'check', sentence: 'looks at the disk that was chosen', run: ({ input }, done) => checkPlace(host, input, done) },
      makeStore(),
      {
        name: 'join',
        sentence: 'adds the member to the volume',
        tooLate: 'the member is part of the volume: remove it instead',
        run: ({ input }, done) => join(host, input, done),
      },
      resync(memberOf),
    ]),
    kind('member-remove', [
      {
        name: 'remove',
        sentence: 'removes the member from the volume',
        tooLate: 'the member is being removed for good',
        run: ({ input }, done) => removeMember(host, input.poolUuid, input.memberId, input.giveUp, done),
      },
      destroyFormer(host, ({ poolUuid, store }) => ({ poolUuid, former: store })),
    ]),
    kind('member-move', [
      { name: 'check', sentence: 'looks at the disk that was chosen', run: ({ input }, done) => checkPlace(host, input, done) },
      makeStore(),
      {
        name: 'join',
        sentence: 'adds the new member to the volume',
        tooLate: 'the new member is part of the volume: remove it, or the former one',
        run: ({ input }, done) => join(host, input, done),
      },
      resync(memberOf),
      {
        name: 'remove',
        sentence: 'removes the former member',
        run: ({ input }, done) => removeMember(host, input.poolUuid, input.formerId, input.giveUp, done),
      },
      destroyFormer(host, ({ poolUuid, former }) => ({ poolUuid, former })),
    ]),
    kind('store-replace', [
      { name: 'check', sentence: 'looks at the new disk', run: ({ input }, done) => checkPlace(host, input, done) },
      {
        name: 'leave',
        sentence: 'takes the member out of the set',
        run: ({ input }, done) => setMaintenance(host, input.poolUuid, input.store.memberId, true, done),
        undo: ({ input }, done) => setMaintenance(host, input.poolUuid, input.store.memberId, false, done),
      },
      {
        name: 'close',
        sentence: 'closes the former store',
        run: ({ input }, done) => setStoreOpen(host, input.former, input.former.storeUuid, input.poolUuid, false, done),
        undo: ({ input }, done) => setStoreOpen(host, input.former, input.former.storeUuid, input.poolUuid, true, done),
      },
      makeStore(),
      {
        name: 'replace',
        sentence: 'gives the member its new store',
        tooLate: 'the former store is out of the volume: the operation goes on to its end',
        run: ({ input }, done) => takeStore(host, input, input.giveUp, done),
      },
      {
        name: 'return',
        sentence: 'lets the member return',
        run: ({ input }, done) => setMaintenance(host, input.poolUuid, input.store.memberId, false, done),
      },
      resync(memberOf),
      destroyFormer(host, ({ poolUuid, former }) => ({ poolUuid, former })),
    ]),
    kind('maintenance-on', [
      {
        name: 'leave',
        sentence: 'takes the member out of the set',
        run: ({ input }, done) => setMaintenance(host, input.poolUuid, input.memberId, true, done),
      },
    ]),
    kind('maintenance-off', [
      {
        name: 'return',
        sentence: 'lets the member return',
        run: ({ input }, done) => setMaintenance(host, input.poolUuid, input.memberId, false, done),
      },
      resync((input) => input),
    ]),
    kind('set-quorum', [
      {
        name: 'quorum',
        sentence: 'records the quorum with the members of both the former and the new one',
        tooLate: 'the quorum is being recorded: change it back instead',
        run: ({ input }, done) => setQuorum(host, input.poolUuid, input.quorum, done),
      },
    ]),
    kind('resync-anew', [
      {
        name: 'anew',
        sentence: 'counts all data of the member as missed',
        tooLate: 'the data of the member is copied anew',
        run: ({ input }, done) => copyAnew(host, input.poolUuid, input.memberId, input.giveUp, done),
      },
      resync((input) => input),
    ]),
  ];
}

/** The last step of what takes a store out of a volume. A store that can't be destroyed, as its disk is dead, is no reason to wait for ever. */
function destroyFormer<Input>(
  host: VolumeHost,
  of: (input: Input) => { readonly poolUuid: string; readonly former: DoomedStore },
): OperationStep<Input> {
  return {
    name: 'destroy',
    sentence: 'destroys the former store, if it is there',
    run: ({ input }, done) => {
      const { poolUuid, former } = of(input);
      destroyStore(host, former, former.storeUuid, poolUuid, (end) => {
        if (end.end !== 'failed') done(end);
        else done({ end: 'done', result: { formerStore: `it could not be destroyed: ${end.error.message}` } });
      });
    },
  };
}

function withResult(done: StepDone, result: Readonly<Record<string, unknown>>): StepDone {
  return (end) => done(end.end === 'done' ? { end: 'done', result } : end);
}
