import type { RtrsServerHandler, RtrsServerRequest, RtrsServerSession } from '@rmr/rtrs';
import { assert, type SlabPool, Status, type World } from '@rmr/runtime';
import { COMMAND_TEXT_MAX, COMMANDS_MAX } from '../../constants.ts';
import type { PoolStore } from '../../pool-store.ts';
import {
  CONTROL_FAILURE_STATUS,
  type ControlFailure,
  decodeControlBody,
  encodeControlBody,
  FAILURE_TEXT_MAX,
  nodeRequestSchema,
} from '../../wire/control-message.ts';
import { decodeIoMessage, IoMessage, invalidIoMessage, MessageType } from '../../wire/io-message.ts';
import { PoolServer } from './pool-server.ts';
import { ReadArena } from './requests/read-arena.ts';
import { ResyncBudget } from './resync/resync-budget.ts';
import { NO_RESYNC_ORDER, type ResyncOptions, type ResyncOrder } from './resync/resync-types.ts';
import type { SessionOpener } from './resync/sync-peers.ts';
import { SyncServing } from './resync/sync-serving.ts';

/**
 * RMR-server: the pools of one storage node. BRMR-server registers stores with it; RTRS brings it requests, which it
 * validates once, here, and hands to their pool.
 */
export class RmrServer implements RtrsServerHandler {
  readonly #world: World;
  readonly #arena: ReadArena;
  /** By handle; a handle is never used again. */
  readonly #pools: (PoolServer | null)[] = [];
  readonly #message = new IoMessage();
  readonly #sessions: SessionOpener;
  readonly #resync: ResyncOptions;
  /** Of all pools together. */
  readonly #budget: ResyncBudget;
  readonly #syncServing: SyncServing;
  /** UUIDs of the stores of which a flush has failed since the process began (W10). */
  readonly #careful = new Set<string>();
  /**
   * The keeper of the stores sets this. It says why there is no store of the pool here, as far as that is known, as a sentence about the
   * node. Null: nothing is known of such a store. Clients are told, as nobody else knows that the disk is the reason.
   */
  whyAbsent: (poolUuid: string) => string | null = () => null;
  /** The keeper of the stores sets this. What an operator has ordered of the resync of a pool, when a store of it is registered. */
  resyncOrderOf: (poolUuid: string) => ResyncOrder = () => NO_RESYNC_ORDER;
  /** The layer above sets this, if it takes commands. It answers each command once, a refusal included. */
  onCommand: CommandHandler | null = null;
  /** User commands that are being carried out. */
  #commands = 0;

  /** `sessions`: the way to other storage nodes, for resync. */
  constructor(world: World, slabs: SlabPool, sessions: SessionOpener, resync: ResyncOptions = {}) {
    this.#world = world;
    this.#arena = new ReadArena(slabs);
    this.#sessions = sessions;
    this.#resync = resync;
    this.#budget = new ResyncBudget(resync);
    this.#syncServing = new SyncServing(world, this.#budget, (request) => this.#onIo(request, true));
  }

  /** The registered pools. */
  pools(): readonly PoolServer[] {
    return this.#pools.filter((pool) => pool !== null);
  }

  /** Makes a store available to clients. One store per pool and node. */
  register(store: PoolStore): PoolServer {
    assert(this.#find(store.identity.poolUuid) === null, 'rmr server: a second store of one pool');
    store.careful ||= this.#careful.has(store.identity.storeUuid);
    const pool = new PoolServer(this.#world, this.#pools.length, store, this.#arena, this.#sessions, this.#resync, this.#budget);
    pool.resync.order = this.resyncOrderOf(store.identity.poolUuid);
    this.#pools.push(pool);
    return pool;
  }

  /** Takes a store away: `done` is called when nothing of its pool is executing any more; closing it is the caller's. */
  unregister(pool: PoolServer, done: () => void): void {
    assert(this.#pools[pool.handle] === pool, 'rmr server: the pool is not registered');
    this.#pools[pool.handle] = null;
    if (pool.store.careful) this.#careful.add(pool.store.identity.storeUuid);
    pool.close(done);
  }

  onSession(session: RtrsServerSession): void {
    this.#world.log.info('session opened', { client: session.peer.hostName, host: session.peer.hostUuid });
  }

  onSessionClosed(session: RtrsServerSession, reason: string): void {
    this.#world.log.info('session closed', { client: session.peer.hostName, host: session.peer.hostUuid, reason });
    for (const pool of this.#pools) pool?.onSessionClosed(session, reason);
  }

  onSessionDrained(_session: RtrsServerSession): void {}

  onRequest(request: RtrsServerRequest): void {
    const { header, headerOffset, headerLength } = request;
    if (request.control) {
      this.#onControl(request);
      return;
    }
    const invalid = invalidIoMessage(header, headerOffset, headerLength);
    if (invalid !== null) {
      this.#world.log.warn('IO message refused', { client: request.session.peer.hostName, reason: invalid });
      request.respond(Status.EPROTO, 0, null, null);
      return;
    }
    this.#onIo(request, false);
  }

  /** A valid IO request. `held`: it was held back before. */
  #onIo(request: RtrsServerRequest, held: boolean): void {
    const message = this.#message;
    decodeIoMessage(request.header, request.headerOffset, message);
    const pool = this.#pools[message.poolHandle];
    if (pool === null || pool === undefined) {
      request.respond(Status.ENOPOOL, 0, null, null);
      return;
    }
    if (held || this.#syncServing.mayBegin(request, message)) pool.onRequest(request, message);
  }

  /** Rechecks the invariants of every pool. */
  verify(): void {
    for (const pool of this.#pools) pool?.verify();
    this.#budget.verify();
  }

  #find(poolUuid: string): PoolServer | null {
    return this.#pools.find((pool) => pool !== null && pool.store.identity.poolUuid === poolUuid) ?? null;
  }

  #onControl(request: RtrsServerRequest): void {
    const decoded =
      request.header[request.headerOffset] === MessageType.CONTROL
        ? decodeControlBody(nodeRequestSchema, request.payload)
        : { reason: 'control message: wrong type' };
    if ('reason' in decoded) {
      this.#world.log.warn('control message refused', { client: request.session.peer.hostName, reason: decoded.reason });
      this.#fail(request, { code: 'BAD_MESSAGE', message: decoded.reason.slice(0, 512), promise: null });
      return;
    }
    const { body } = decoded;
    if (body.op === 'command') {
      this.#onCommand(request, body.command);
      return;
    }
    const pool = this.#find(body.poolUuid);
    if (pool === null) {
      const { poolUuid } = body;
      const message = this.whyAbsent(poolUuid) ?? `this node has no store of pool ${poolUuid}`;
      this.#fail(request, { code: 'UNKNOWN_POOL', message: message.slice(0, FAILURE_TEXT_MAX), promise: null });
      return;
    }
    pool.control(request.session, body, (result, failure) => {
      if (failure !== null) {
        this.#world.log.warn('control request failed', {
          op: body.op,
          pool: pool.store.identity.poolName,
          member: pool.store.identity.memberId,
          client: request.session.peer.hostName,
          code: failure.code,
          reason: failure.message,
        });
        this.#fail(request, failure);
        return;
      }
      assert(result !== null, 'rmr server: neither a result nor a failure');
      request.respond(Status.OK, 0, encodeControlBody(result), null);
    });
  }

  #onCommand(request: RtrsServerRequest, command: string): void {
    const { hostName } = request.session.peer;
    if (this.onCommand === null || this.#commands >= COMMANDS_MAX) {
      const why = this.onCommand === null ? 'takes no commands' : `carries out ${COMMANDS_MAX} commands already; try again`;
      this.#fail(request, { code: 'BAD_STATE', message: `this node ${why}`, promise: null });
      return;
    }
    this.#commands++;
    this.onCommand(hostName, command, (answer) => {
      this.#commands--;
      assert(answer.length <= COMMAND_TEXT_MAX, 'rmr server: an answer to a command is too long');
      request.respond(Status.OK, 0, encodeControlBody({ answer }), null);
    });
  }

  #fail(request: RtrsServerRequest, failure: ControlFailure): void {
    request.respond(CONTROL_FAILURE_STATUS[failure.code], 0, encodeControlBody(failure), null);
  }
}

/** Carries out a command of the layer above for `client`, the name of its host. `done` is called once, with the answer. */
export type CommandHandler = (client: string, command: string, done: (answer: string) => void) => void;
