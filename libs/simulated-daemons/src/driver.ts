/**
 * The orders of a simulated client node. An operation takes one step each time that somebody asks for it, so that a test sees every step and
 * needs no clock. Its effect on the state comes with its last step.
 */
import type { Operations, OperationView, PoolOrders, VolumeOrders } from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';
import { newMember, newVolume, SINCE, type SimulatedState, type SimulatedVolume, uuidOf } from './model.ts';

/** Drives the operations of one simulated client node. */
export class SimulatedDriver implements VolumeOrders, Operations {
  readonly #state: SimulatedState;
  readonly #node: string;
  readonly #number: number;
  readonly #running: Running[] = [];
  /** The orders that were given, oldest first: their names and inputs. */
  readonly orders: { readonly order: string; readonly input: unknown; readonly by: string }[] = [];
  /** The next operation waits for this, until a test takes it back. */
  waitsFor: OperationView['waitingFor'] = null;
  /** The next step of an operation fails with this. */
  failsWith: OperationView['error'] = null;

  constructor(state: SimulatedState, node: string, number: number) {
    this.#state = state;
    this.#node = node;
    this.#number = number;
  }

  async create(input: Parameters<VolumeOrders['create']>[0], by: string): Promise<OperationView> {
    const number = 500 + this.#state.volumes.length;
    const members = input.members.map(({ node, disk }, index) => newMember(index + 1, node, disk));
    const made = newVolume(number, input.name, this.#node, members, { sizeBytes: input.sizeBytes, quorum: input.quorum });
    const steps = ['makes the stores', 'brings the volume into being', 'waits until the volume is served'];
    return this.#begin('volume-create', made, steps, input, by, () => {
      this.#state.volumes.push(made);
      return { poolUuid: made.uuid, name: made.name };
    });
  }

  async map(input: Parameters<VolumeOrders['map']>[0], by: string): Promise<OperationView> {
    const volume = this.#state.volumes.find(({ uuid }) => uuid === input.uuid);
    if (volume === undefined) throw new OperationError('NOT_FOUND', `no member of ${input.name} answers`);
    return this.#begin('volume-map', volume, ['maps the volume on this node', 'waits until the volume is served'], input, by, () => {
      volume.client = this.#node;
      return { poolUuid: volume.uuid, name: volume.name };
    });
  }

  async takeOver(input: Parameters<VolumeOrders['takeOver']>[0], force: boolean, by: string): Promise<OperationView> {
    const volume = this.#state.volumes.find(({ uuid }) => uuid === input.uuid);
    if (volume === undefined) throw new OperationError('NOT_FOUND', `no member of ${input.name} answers`);
    const steps = ['maps the volume on this node', 'takes the volume over from the client node that serves it'];
    const given: typeof input & { readonly force: boolean } = { ...input, force };
    return this.#begin('volume-takeover', volume, steps, given, by, () => {
      volume.client = this.#node;
      return { poolUuid: volume.uuid, name: volume.name };
    });
  }

  async unmap(input: Parameters<VolumeOrders['unmap']>[0], by: string): Promise<OperationView> {
    const volume = this.#idle(input.pool, input.evenIfConnected);
    return this.#begin('volume-unmap', volume, ['takes the volume out of service on this node'], input, by, () => {
      volume.client = null;
      return {};
    });
  }

  async delete(input: Parameters<VolumeOrders['delete']>[0], by: string): Promise<OperationView> {
    const volume = this.#idle(input.pool, input.evenIfConnected);
    return this.#begin('volume-delete', volume, ['takes the volume out of service', 'destroys the stores'], input, by, () => {
      this.#state.volumes.splice(this.#state.volumes.indexOf(volume), 1);
      return {};
    });
  }

  async addMember(input: Parameters<VolumeOrders['addMember']>[0], by: string): Promise<OperationView> {
    const volume = this.#mapped(input.pool);
    const memberId = Math.max(...volume.members.map((member) => member.memberId)) + 1;
    return this.#begin(
      'member-add',
      volume,
      ['makes the store of the new member', 'waits until the member has copied all'],
      input,
      by,
      () => {
        volume.members.push(newMember(memberId, input.place.node, input.place.disk, { storeUuid: uuidOf(8, memberId) }));
        return { memberId };
      },
    );
  }

  async removeMember(input: Parameters<VolumeOrders['removeMember']>[0], by: string): Promise<OperationView> {
    const volume = this.#mapped(input.pool);
    return this.#begin('member-remove', volume, ['removes the member from the volume', 'destroys the former store'], input, by, () => {
      volume.members = volume.members.filter(({ memberId }) => memberId !== input.memberId);
      return {};
    });
  }

  async replaceStore(input: Parameters<VolumeOrders['replaceStore']>[0], by: string): Promise<OperationView> {
    const volume = this.#mapped(input.pool);
    const steps = ['makes the store of the new member', 'gives the member its new store', 'waits until the member has copied all'];
    return this.#begin('store-replace', volume, steps, input, by, () => {
      const others = volume.members.filter(({ memberId }) => memberId !== input.memberId);
      const fresh = newMember(input.memberId, input.place.node, input.place.disk, { storeUuid: uuidOf(9, input.memberId) });
      volume.members = [...others, fresh].sort((a, b) => a.memberId - b.memberId);
      return {};
    });
  }

  async setQuorum(input: Parameters<VolumeOrders['setQuorum']>[0], by: string): Promise<OperationView> {
    const volume = this.#mapped(input.pool);
    return this.#begin('set-quorum', volume, ['records the quorum'], input, by, () => {
      volume.quorum = input.quorum;
      return {};
    });
  }

  async maintenance(input: Parameters<VolumeOrders['maintenance']>[0], by: string): Promise<OperationView> {
    const volume = this.#mapped(input.pool);
    const member = volume.members.find(({ memberId }) => memberId === input.memberId);
    if (member === undefined) throw new OperationError('NOT_FOUND', `${volume.name} has no member ${input.memberId}`);
    const kind = input.on ? 'maintenance-on' : 'maintenance-off';
    const steps = [input.on ? 'takes the member out of the set' : 'lets the member return'];
    return this.#begin(kind, volume, steps, input, by, () => {
      Object.assign(member, { maintenance: input.on, inSync: !input.on, reason: input.on ? 'in maintenance' : 'in sync' });
      return {};
    });
  }

  async resync(input: Parameters<VolumeOrders['resync']>[0], by: string): Promise<void> {
    this.orders.push({ order: 'resync', input, by });
    for (const { resync } of this.#mapped(input.pool).members) {
      if (input.bytesPerSecond !== undefined) resync.limitBytesPerSecond = input.bytesPerSecond;
      if (input.paused === undefined) continue;
      resync.paused = input.paused;
      if (input.paused) resync.state = 'PAUSED';
      else delete resync.state;
    }
  }

  list(input: Parameters<Operations['list']>[0]): readonly OperationView[] {
    const newestFirst = this.#running.map(({ view }) => view).reverse();
    const from = input.before === null ? 0 : newestFirst.findIndex(({ id }) => id === input.before) + 1;
    return newestFirst
      .slice(from)
      .filter(({ target, targetName }) => input.target === null || input.target === target || input.target === targetName)
      .filter(({ endedAt }) => !input.unfinished || endedAt === null)
      .slice(0, input.limit);
  }

  show(id: string): OperationView {
    const running = this.#byId(id);
    if (running.view.endedAt === null) this.#step(running);
    return running.view;
  }

  async cancel(id: string): Promise<OperationView> {
    const running = this.#byId(id);
    if (running.view.endedAt !== null) throw new OperationError('CONFLICT', 'the operation has ended already');
    const error = { code: 'CONFLICT', sentence: 'an operator cancelled it' };
    running.view = { ...running.view, state: 'CANCELLED', error, waitingFor: null, endedAt: SINCE };
    return running.view;
  }

  /** The pool orders, for volumes that this node maps. */
  pools(): PoolOrders {
    const ordered = async (order: string, pool: string, input: object): Promise<void> => {
      this.#mapped(pool);
      this.orders.push({ order, input: { pool, ...input }, by: 'local' });
    };
    return {
      create: (pool) => ordered('pool-create', pool, {}),
      force: (pool, leftBehind) => ordered('force', pool, { leftBehind }),
      copyAnew: (pool, memberId, giveUp) => ordered('copy-anew', pool, { memberId, giveUp }),
      replaceStore: (pool, memberId, giveUp) => ordered('replace-store', pool, { memberId, giveUp }),
      forcePlan: (pool) => {
        const { name, state, members } = this.#mapped(pool);
        const told = ({ memberId, node, dirtyBytes, reason }: (typeof members)[number], note: string) => ({
          ...{
            memberId,
            name: node,
            version: '1.1{1,2}',
            at: SINCE,
            missingBytes: dirtyBytes,
            note: note === '' ? '' : `${note}: ${reason}`,
          },
        });
        return {
          refusal: state === 'SERVING' ? `${name} is served, so there is nothing to force` : null,
          members: members.filter(({ connected }) => connected).map((member) => told(member, '')),
          leftBehind: members.filter(({ connected }) => !connected).map((member) => told(member, 'it can not be reached')),
          sentence: `${name} would be served with the members that are there; what only the others have is lost.`,
        };
      },
    };
  }

  #byId(id: string): Running {
    const running = this.#running.find(({ view }) => view.id === id);
    if (running === undefined)
      throw new OperationError('NOT_FOUND', `this node has no operation ${id}; it keeps the last 1,000 that have ended`);
    return running;
  }

  #mapped(wanted: string): SimulatedVolume {
    const volume = this.#state.volumes.find(({ uuid, name, client }) => client === this.#node && (uuid === wanted || name === wanted));
    if (volume === undefined) throw new OperationError('NOT_FOUND', `no pool ${wanted} is mapped here`);
    return volume;
  }

  #idle(wanted: string, evenIfConnected: boolean): SimulatedVolume {
    const volume = this.#mapped(wanted);
    if (volume.peers.length === 0 || evenIfConnected) return volume;
    throw new OperationError('CONFLICT', `${volume.peers.length} NBD clients use ${volume.name}: ${volume.peers.join(', ')}`);
  }

  #begin(
    kind: OperationView['kind'],
    { uuid, name }: { readonly uuid: string; readonly name: string },
    steps: readonly string[],
    input: { readonly requestId: string | null },
    by: string,
    effect: Running['effect'],
  ): OperationView {
    const known = input.requestId === null ? undefined : this.#running.find(({ requestId }) => requestId === input.requestId);
    if (known !== undefined) return known.view;
    this.orders.push({ order: kind, input, by });
    const view: OperationView = {
      ...{
        id: uuidOf(0xa0 + this.#number, this.#running.length + 1),
        kind,
        target: uuid,
        targetName: name,
        requestedBy: by,
        createdAt: SINCE,
      },
      ...{ state: 'QUEUED', step: steps[0] as string, stepNumber: 1, steps: steps.length, progress: null, waitingFor: null },
      ...{ error: null, result: null, endedAt: null },
    };
    this.#running.push({ view, requestId: input.requestId, steps, effect });
    return view;
  }

  #step(running: Running): void {
    const { view, steps, effect } = running;
    if (this.failsWith !== null) {
      running.view = { ...view, state: 'FAILED', error: this.failsWith, waitingFor: null, endedAt: SINCE };
      this.failsWith = null;
    } else if (this.waitsFor !== null) running.view = { ...view, state: 'WAITING', waitingFor: this.waitsFor };
    else if (view.state === 'QUEUED') running.view = { ...view, state: 'RUNNING' };
    else if (view.stepNumber < steps.length)
      running.view = {
        ...view,
        state: 'RUNNING',
        waitingFor: null,
        stepNumber: view.stepNumber + 1,
        step: steps[view.stepNumber] as string,
      };
    else running.view = { ...view, state: 'SUCCEEDED', waitingFor: null, result: effect(), endedAt: SINCE };
  }
}

interface Running {
  view: OperationView;
  readonly requestId: string | null;
  readonly steps: readonly string[];
  /** Changes the state once the last step is done. Its answer is the result. */
  readonly effect: () => Record<string, unknown>;
}
