/**
 * Carries out orders for volumes: each becomes an operation, which goes on by itself. The steps are BRMR-client's; here they meet the pools
 * that this node maps, and what it remembers.
 */
import { randomUUID } from 'node:crypto';
import type {
  MaintenanceInput,
  MemberAddInput,
  MemberRemoveInput,
  MemberReplaceInput,
  OperationKindName,
  OperationListInput,
  Operations,
  OperationView,
  QuorumInput,
  ResyncInput,
  VolumeCreateInput,
  VolumeDeleteInput,
  VolumeMapInput,
  VolumeOrders,
  VolumeTakeoverInput,
  VolumeUnmapInput,
} from '@rmr/admin-api';
import {
  createOrder,
  createProblem,
  doomedStores,
  handOver,
  isSameNode,
  type Mapping,
  memberPlace,
  type OperationInputs,
  sendCommand,
  usedProblem,
  type VolumeHost,
  type VolumeOperation,
  volumeOperationKinds,
} from '@rmr/brmr';
import type { DaemonEvents } from '@rmr/daemon';
import { isUnfinished, type Operation, type OperationJournal, OperationRunner } from '@rmr/operations';
import type { RecordDirectory } from '@rmr/operations/node';
import { CHUNK_BYTES_DEFAULT, type PoolClientStatus, QUEUE_DEPTH_DEFAULT, type RmrClient } from '@rmr/rmr';
import { OperationError, type Ticked, type World } from '@rmr/runtime';
import type { MappedPool, MappedPools } from './mapped-pools.ts';
import { configOf } from './mappings.ts';
import { findPool } from './pool-orders.ts';
import { isoTime } from './status.ts';

export class VolumeDriver implements VolumeOrders, Operations, Ticked {
  readonly #parts: VolumeDriverParts;
  readonly #host: VolumeHost;
  readonly #runner: OperationRunner;
  #nextMs = 0;
  /** The states that were told last of the operations that go on. */
  readonly #told = new Map<string, string>();

  constructor(parts: VolumeDriverParts) {
    this.#parts = parts;
    this.#host = volumeHost(parts);
    this.#runner = new OperationRunner({
      ...{ world: parts.world, journal: parts.journal, kinds: volumeOperationKinds(this.#host) },
      onChange: (operation) => this.#changed(operation),
    });
  }

  /** Maps what this node was told to map, then goes on with the operations that had not ended. */
  start(): void {
    const { mappings, mapped, world } = this.#parts;
    for (const mapping of mappings.entries) {
      const config = configOf(mapping);
      const conflict = mapped.conflictOf(config);
      if (conflict === null) mapped.map(config, false);
      else
        world.log.warn('a pool that this node was told to map is not mapped', {
          pool: mapping.name,
          uuid: mapping.uuid,
          why: conflict.message,
        });
    }
    mapped.onAsked = ({ config }, wish) => handOver({ host: this.#host, runner: this.#runner, log: world.log }, config, wish);
    this.#runner.start();
    world.ticker.subscribe(this);
  }

  /** Corrects what is remembered of the members of pools: they move, come and go, and the next start looks for them where they were last. */
  tick(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + CORRECT_MS;
    const { mappings, mapped, world } = this.#parts;
    for (const { config, client, isStatic } of mapped.list) {
      const known = mappings.get(config.uuid);
      if (isStatic || known === null) continue;
      const now = asMapping(known, client.status());
      if (now === null || JSON.stringify(now) === JSON.stringify(known)) continue;
      mappings.put(now, (error) => {
        if (error !== null) world.log.warn('where members of a pool are could not be remembered', { pool: known.name, why: error.message });
      });
    }
  }

  /** Begins nothing any more. Resolves when what is being written is durable. What has not ended goes on after the next start. */
  async stop(): Promise<void> {
    this.#runner.stop();
    this.#parts.world.ticker.unsubscribe(this);
    await Promise.all([this.#parts.journal.settled(), this.#parts.mappings.settled()]);
  }

  create(input: VolumeCreateInput, by: string): Promise<OperationView> {
    const { name, sizeBytes, quorum, exportName, members, witness, requestId } = input;
    const known = this.#byRequest(requestId);
    if (known !== null) return Promise.resolve(known);
    const wanted = { name, sizeBytes, quorum, exportName, chunkSizeBytes: input.chunkSizeBytes ?? CHUNK_BYTES_DEFAULT };
    const order = createOrder(this.#host, { ...wanted, queueDepth: QUEUE_DEPTH_DEFAULT }, members, witness);
    const problem = createProblem(order);
    if (problem !== null) return Promise.reject(problem);
    return this.#submit('volume-create', { uuid: order.poolUuid, name }, by, requestId, order);
  }

  map(input: VolumeMapInput, by: string): Promise<OperationView> {
    const { requestId } = input;
    const mapping = mappingOf(input);
    const conflict = this.#parts.mapped.conflictOf(judged(mapping));
    if (conflict !== null && this.#byRequest(requestId) === null) return Promise.reject(conflict);
    return this.#submit('volume-map', mapping, by, requestId, mapping);
  }

  takeOver(input: VolumeTakeoverInput, force: boolean, by: string): Promise<OperationView> {
    const { evenIfConnected, requestId } = input;
    const known = this.#byRequest(requestId);
    if (known !== null) return Promise.resolve(known);
    const mapping = mappingOf(input);
    const here = this.#parts.mapped.list.find(({ config }) => config.uuid === mapping.uuid);
    const state = here?.client.state;
    if (state === 'SERVING') return Promise.reject(new OperationError('CONFLICT', `${mapping.name} is served by this node already`));
    if (here?.isStatic === true && state === 'FENCED')
      return Promise.reject(
        new OperationError(
          'CONFLICT',
          `${mapping.name} was taken over from this node, and stands under "pools" in its configuration file: restart the node, then take it over`,
        ),
      );
    const conflict = here === undefined ? this.#parts.mapped.conflictOf(judged(mapping)) : null;
    if (conflict !== null) return Promise.reject(conflict);
    const order = { mapping, force, evenIfConnected, wasMapped: here !== undefined };
    return this.#submit('volume-takeover', mapping, by, requestId, order);
  }

  unmap({ pool, evenIfConnected, requestId }: VolumeUnmapInput, by: string): Promise<OperationView> {
    const { uuid, name } = this.#changeable(pool).config;
    const problem = evenIfConnected ? null : usedProblem(this.#host, uuid, name);
    if (problem !== null) return Promise.reject(problem);
    return this.#submit('volume-unmap', { uuid, name }, by, requestId, { poolUuid: uuid, name, evenIfConnected });
  }

  delete({ pool, confirm, evenIfConnected, requestId }: VolumeDeleteInput, by: string): Promise<OperationView> {
    const { uuid, name } = this.#changeable(pool).config;
    if (confirm !== name)
      return Promise.reject(
        new OperationError('INVALID_ARGUMENT', `the volume is called ${name}, and not ${confirm}: type its name to delete it`),
      );
    const problem = evenIfConnected ? null : usedProblem(this.#host, uuid, name);
    if (problem !== null) return Promise.reject(problem);
    const stores = doomedStores(this.#host, uuid);
    if (stores.length === 0) {
      const sentence = `${name} has not been served since this node started, so this node does not know all of its stores: bring its members back first`;
      return Promise.reject(new OperationError('UNAVAILABLE', sentence));
    }
    return this.#submit('volume-delete', { uuid, name }, by, requestId, { poolUuid: uuid, name, evenIfConnected, stores });
  }

  addMember({ pool, place, requestId }: MemberAddInput, by: string): Promise<OperationView> {
    const { config, client } = this.#served(pool);
    const memberId = client.status().policy.highestMemberId + 1;
    const store = { ...place, memberId, storeUuid: this.#host.newUuid() };
    return this.#submit('member-add', config, by, requestId, { poolUuid: config.uuid, poolName: config.name, store });
  }

  removeMember({ pool, memberId, giveUp, requestId }: MemberRemoveInput, by: string): Promise<OperationView> {
    const mapped = this.#served(pool);
    const { uuid } = mapped.config;
    return this.#submit('member-remove', mapped.config, by, requestId, {
      ...{ poolUuid: uuid, memberId, giveUp },
      store: this.#memberOf(mapped, memberId),
    });
  }

  replaceStore({ pool, memberId, place, giveUp, requestId }: MemberReplaceInput, by: string): Promise<OperationView> {
    const mapped = this.#served(pool);
    const { uuid: poolUuid, name: poolName } = mapped.config;
    const former = this.#memberOf(mapped, memberId);
    const storeUuid = this.#host.newUuid();
    if (isSameNode(former, place)) {
      const store = { ...place, memberId, storeUuid };
      return this.#submit('store-replace', mapped.config, by, requestId, { poolUuid, poolName, store, giveUp, former });
    }
    // On another node the new store is a member of its own, so that the former one serves until the new one has everything.
    const store = { ...place, memberId: mapped.client.status().policy.highestMemberId + 1, storeUuid };
    return this.#submit('member-move', mapped.config, by, requestId, { poolUuid, poolName, store, giveUp, former, formerId: memberId });
  }

  setQuorum({ pool, quorum, requestId }: QuorumInput, by: string): Promise<OperationView> {
    const { config } = this.#served(pool);
    return this.#submit('set-quorum', config, by, requestId, { poolUuid: config.uuid, quorum });
  }

  maintenance({ pool, memberId, on, requestId }: MaintenanceInput, by: string): Promise<OperationView> {
    const mapped = this.#served(pool);
    this.#memberOf(mapped, memberId);
    return this.#submit(on ? 'maintenance-on' : 'maintenance-off', mapped.config, by, requestId, {
      poolUuid: mapped.config.uuid,
      memberId,
    });
  }

  async resync({ pool, paused, bytesPerSecond: rateBytes }: ResyncInput): Promise<void> {
    const { config, client } = this.#served(pool);
    const members = client.status().members.filter(({ role }) => role !== 'witness');
    const change = { ...(paused === undefined ? {} : { paused }), ...(rateBytes === undefined ? {} : { rateBytes }) };
    const failures = await Promise.all(
      members.map(
        ({ name: node, addresses }) =>
          new Promise<OperationError | null>((resolve) => {
            sendCommand(this.#parts.client, { node, addresses }, { do: 'resync', poolUuid: config.uuid, ...change }, (answer) =>
              resolve(answer instanceof OperationError ? answer : null),
            );
          }),
      ),
    );
    const failed = failures.filter((failure) => failure !== null);
    if (failed.length === 0) return;
    const what = paused === undefined ? 'limited so' : paused ? 'paused' : 'resumed';
    const others = members.length - failed.length;
    throw new OperationError(
      'UNAVAILABLE',
      `resync of ${config.name} is ${what} on ${others} of ${members.length} members: ${failed.map(({ message }) => message).join('; ')}`,
    );
  }

  list({ target, unfinished, before, limit }: OperationListInput): readonly OperationView[] {
    const all = this.#runner.list();
    const from = before === null ? 0 : all.findIndex(({ id }) => id === before) + 1;
    return all
      .slice(from)
      .filter((operation) => target === null || operation.target === target || operation.targetName === target)
      .filter(({ state }) => !unfinished || isUnfinished(state))
      .slice(0, limit)
      .map((operation) => this.#view(operation));
  }

  show(id: string): OperationView {
    const operation = this.#runner.get(id);
    if (operation === null)
      throw new OperationError('NOT_FOUND', `this node has no operation ${id}; it keeps the last 1,000 that have ended`);
    return this.#view(operation);
  }

  cancel(id: string, by: string): Promise<OperationView> {
    return new Promise((resolve, reject) => {
      this.#runner.cancel(id, by, (result) => (result instanceof OperationError ? reject(result) : resolve(this.#view(result))));
    });
  }

  #submit<Kind extends VolumeOperation>(
    kind: Kind,
    { uuid, name }: { readonly uuid: string; readonly name: string },
    requestedBy: string,
    requestId: string | null,
    input: OperationInputs[Kind],
  ): Promise<OperationView> {
    const known = this.#byRequest(requestId);
    if (known !== null) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      this.#runner.submit({ kind, target: uuid, targetName: name, requestedBy, requestId, input }, (result) =>
        result instanceof OperationError ? reject(result) : resolve(this.#view(result)),
      );
    });
  }

  /** The operation that a request gave before. What it asks for is not compared: UUIDs are drawn anew with each order. */
  #byRequest(requestId: string | null): OperationView | null {
    const known = requestId === null ? undefined : this.#runner.list().find((operation) => operation.requestId === requestId);
    return known === undefined ? null : this.#view(known);
  }

  /** A pool that was mapped by an order. */
  #changeable(wanted: string): MappedPool {
    const pool = findPool(this.#parts.mapped.list, wanted);
    if (pool.isStatic) {
      throw new OperationError(
        'CONFLICT',
        `${pool.config.name} stands under "pools" in the configuration file of this node: take it out there and restart the node`,
      );
    }
    return pool;
  }

  #served(wanted: string): MappedPool {
    const pool = findPool(this.#parts.mapped.list, wanted);
    const { state, waitingFor } = pool.client.status();
    if (state === 'SERVING') return pool;
    throw new OperationError('UNAVAILABLE', `${pool.config.name} is not served: it waits for ${waitingFor?.what ?? 'its members'}`);
  }

  #memberOf({ config, client }: MappedPool, memberId: number) {
    const place = memberPlace(client, memberId);
    if (place !== null) return place;
    const ids = client.status().members.map((member) => member.memberId);
    throw new OperationError('NOT_FOUND', `${config.name} has no member ${memberId}; it has: ${ids.join(', ')}`);
  }

  /** Tells changes of state. Steps are told by the operation itself. */
  #changed(operation: Operation): void {
    const { id, state, kind, target, targetName: name, requestedBy: by, waitingFor, error } = operation;
    const from = this.#told.get(id) ?? 'not begun';
    // Steps wait for one another all the time. What an operation waits for stands in the operation.
    if (from === state || state === 'WAITING') return;
    if (isUnfinished(state)) this.#told.set(id, state);
    else this.#told.delete(id);
    const why = error?.sentence ?? (waitingFor === null ? this.#runner.stepText(operation).sentence : `it waits for ${waitingFor.what}`);
    this.#parts.events.record('operation-state', target, { operation: id, kind, name, by, from, to: state, why });
  }

  #view(operation: Operation): OperationView {
    const { sentence, steps } = this.#runner.stepText(operation);
    const { waitingFor } = operation;
    return {
      id: operation.id,
      kind: operation.kind as OperationKindName,
      target: operation.target,
      targetName: operation.targetName,
      requestedBy: operation.requestedBy,
      createdAt: isoTime(operation.createdAtMs),
      state: operation.state,
      step: sentence,
      stepNumber: operation.step + 1,
      steps,
      progress: operation.progress,
      waitingFor: waitingFor === null ? null : { what: waitingFor.what, since: isoTime(waitingFor.sinceMs), remedy: waitingFor.remedy },
      error: operation.error,
      result: operation.result,
      endedAt: operation.endedAtMs === null ? null : isoTime(operation.endedAtMs),
    };
  }
}

export interface VolumeDriverParts {
  readonly world: World;
  readonly client: RmrClient;
  readonly mapped: MappedPools;
  readonly mappings: RecordDirectory<Mapping>;
  readonly journal: OperationJournal & { settled(): Promise<void> };
  readonly events: Pick<DaemonEvents, 'record'>;
}

/** How often what is remembered of the members is compared with what the pools know, in milliseconds. */
const CORRECT_MS = 5_000;

/** The mapping of an order that names a volume, and where some of its members were last. */
function mappingOf({ uuid, name, members, exportName, readOnly }: VolumeMapInput): Mapping {
  return {
    ...{ uuid: uuid.toLowerCase(), name, exportName, readOnly, witness: null, quorum: 'none', queueDepth: QUEUE_DEPTH_DEFAULT },
    members: members.map(({ memberId, node, addresses }) => ({ memberId, name: node, addresses })),
  };
}

/** The mapping with the members that the pool has now. Null: the pool is not served, and so does not know them for certain. */
function asMapping(known: Mapping, { state, members, policy }: PoolClientStatus): Mapping | null {
  if (state !== 'SERVING' || members.length === 0) return null;
  const address = ({ memberId, name, addresses }: (typeof members)[number]) => ({ memberId, name, addresses: [...addresses] });
  const witness = members.find(({ role }) => role === 'witness');
  return {
    ...known,
    quorum: policy.quorum,
    members: members.filter((member) => member !== witness).map(address),
    witness: witness === undefined ? null : address(witness),
  };
}

/** The mapping as configuration. Throws INVALID_ARGUMENT for what the configuration would not take, such as two members of one name. */
function judged(mapping: Mapping): ReturnType<typeof configOf> {
  try {
    return configOf(mapping);
  } catch (error) {
    throw new OperationError('INVALID_ARGUMENT', `the volume can't be mapped so: ${(error as Error).message}`, { cause: error });
  }
}

function volumeHost({ client, mapped, mappings }: VolumeDriverParts): VolumeHost {
  const find = (uuid: string): MappedPool | null => mapped.list.find(({ config }) => config.uuid === uuid) ?? null;
  return {
    way: client,
    pool: (uuid) => find(uuid)?.client ?? null,
    conflictOf: (mapping) => (find(mapping.uuid) === null ? mapped.conflictOf(configOf(mapping)) : null),
    map: (mapping) => {
      if (find(mapping.uuid) === null) mapped.map(configOf(mapping), false);
    },
    unmap: (uuid, done) => {
      const pool = find(uuid);
      if (pool === null) done();
      else mapped.unmap(pool, done);
    },
    queueDepthOf: (uuid) => Math.max(QUEUE_DEPTH_DEFAULT, find(uuid)?.config.queueDepth ?? 0),
    connectionsOf: (uuid) => {
      const pool = find(uuid);
      return pool === null ? 0 : mapped.connectionsOf(pool);
    },
    remember: (mapping, done) => mappings.put(mapping, done),
    forget: (uuid, done) => mappings.delete(uuid, done),
    newUuid: randomUUID,
  };
}
