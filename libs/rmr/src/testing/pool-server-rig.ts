import { DirtyMap } from '@rmr/dirty-map';
import type { RtrsServerRequest, RtrsServerSession } from '@rmr/rtrs';
import { SlabPool, Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { readLeaves } from '../core/map-leaves.ts';
import { PoolServer } from '../core/server/pool-server.ts';
import { ReadArena } from '../core/server/requests/read-arena.ts';
import { packSyncAnswer, syncAnswerBytes } from '../core/server/resync/sync-answer.ts';
import type { ControlFailure, ControlRequest } from '../wire/control-message.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, IoMessage, MessageType } from '../wire/io-message.ts';
import { CLIENT, identityOf, memberOf, POLICY, POOL, ScriptedSessions, storeOf, versionOf } from './scripted-pool.ts';
import type { ScriptedSession } from './scripted-session.ts';
import { ScriptedStore } from './scripted-store.ts';

/** Member 1's pool on its storage node; its client, the other members and its store are the test. */
export class PoolServerRig {
  readonly world = new VirtualWorld();
  readonly sessions = new ScriptedSessions();
  readonly store: ScriptedStore;
  readonly pool: PoolServer;
  /** The ends of IO requests, in order. */
  readonly answers: [name: string, status: number][] = [];
  readonly payloads = new Map<string, Uint8Array>();
  readonly client = { state: 'OPEN', peer: { hostName: 'client-1' } } as unknown as RtrsServerSession;
  readonly rival = { state: 'OPEN', peer: { hostName: 'client-2' } } as unknown as RtrsServerSession;

  constructor(chunks = CHUNKS) {
    this.store = new ScriptedStore(identityOf(1, chunks, CHUNK, SHORT));
    this.pool = new PoolServer(this.world, 0, this.store, new ReadArena(new SlabPool()), this.sessions);
    this.world.check(() => this.pool.verify());
    // A clock that stands at zero is no clock that was read.
    this.world.run(1);
  }

  /** What the store is asked for and has not ended. */
  held(): string[] {
    return this.store.held.map(({ what }) => what);
  }

  session(memberId: number): ScriptedSession {
    return this.sessions.of({ memberId });
  }

  /** Ends the turn. */
  turn(): void {
    this.world.run(0);
    this.pool.verify();
  }

  write(name: string, fields: RigIo = {}): void {
    this.io(name, { type: MessageType.WRITE, writeSeq: 1, ...fields });
  }

  read(name: string, fields: RigIo = {}): void {
    this.io(name, { type: MessageType.READ, ...fields });
  }

  syncRead(name: string, fields: RigIo = {}): void {
    this.io(name, { type: MessageType.SYNC_READ, ...fields });
  }

  /** A request of the client, or of another storage node, comes in; the turn ends. */
  io(name: string, { chunk = 0, chunks = 1, missing = [], ...fields }: RigIo): void {
    const message = new IoMessage();
    const offsetBytes = chunk * CHUNK;
    const lengthBytes = Math.min(chunks * CHUNK, this.store.identity.sizeBytes - offsetBytes);
    Object.assign(message, { epoch: 1, versionSeq: 1, offsetBytes, lengthBytes, missingCount: missing.length, ...fields });
    message.missingMemberIds.set(missing);
    const header = new Uint8Array(IO_MESSAGE_BYTES);
    encodeIoMessage(message, header, 0);
    const request = {
      session: this.client,
      header,
      headerOffset: 0,
      headerLength: IO_MESSAGE_BYTES,
      payload: message.type === MessageType.WRITE ? new Uint8Array(message.lengthBytes) : null,
      respond: (status: number, _headerLength: number, payload: Uint8Array | null) => {
        this.answers.push([name, status]);
        if (payload !== null) this.payloads.set(name, payload.slice());
      },
    };
    this.pool.onRequest(request as unknown as RtrsServerRequest, message);
    this.turn();
  }

  control(request: ControlRequest, from = this.client): RigOutcome {
    const outcome: RigOutcome = { result: null, failure: null, ended: false };
    this.pool.control(from, request, (result, failure) => Object.assign(outcome, { result, failure, ended: true }));
    return outcome;
  }

  /** NORMAL under epoch 1, version 1.1 of these members, with these chunks dirty. */
  serve(dirty: Record<number, readonly number[]> = {}, memberIds: readonly number[] = [1, 2, 3]): void {
    this.control(claim(1));
    this.store.end('commit promise 1');
    this.control(record(1, memberIds));
    this.store.end(`commit version 1.1{${memberIds.join(',')}}`);
    for (const [memberId, chunks] of Object.entries(dirty)) for (const chunk of chunks) this.store.mapOf(Number(memberId)).set(chunk, 1);
    this.control(ENABLE);
    this.store.end('flush');
    this.store.end('commit reconciled');
    this.turn();
    this.store.calls.length = 0;
    if (this.pool.state !== 'NORMAL' || this.held().length > 0) throw new Error('the pool is not served');
  }

  /** The sync leg to a member is ready: pulls from it begin. */
  join(memberId = 2): void {
    this.world.run(50);
    this.session(memberId)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId, storeUuid: storeOf(memberId) });
    this.turn();
  }

  /** The oldest pull that is under way at a member ends well. */
  pull(memberId = 2): void {
    const next = this.session(memberId).ios.shift();
    if (next === undefined) throw new Error(`nothing is read from member ${memberId}`);
    next.answer(Status.OK, pulledChunk(next.message.lengthBytes));
    this.turn();
    for (const step of ['write', 'flush', 'commit clear 1:']) {
      this.store.endOne(step);
      this.turn();
    }
  }
}

export const CHUNK = 4096;
export const CHUNKS = 16;
/** The last chunk is short. */
const SHORT = 512;

/** An IO request: whole chunks, unless offset and length are given. */
export interface RigIo extends Partial<Omit<IoMessage, 'missingMemberIds' | 'missingCount'>> {
  readonly chunk?: number;
  readonly chunks?: number;
  /** Members that miss it (piggyback). */
  readonly missing?: readonly number[];
}

/** The end of a control request, once it has ended. */
export interface RigOutcome {
  result: unknown;
  failure: ControlFailure | null;
  ended: boolean;
}

/** A source's answer to a read: nines. */
export function pulledChunk(lengthBytes = CHUNK): Uint8Array {
  const bytes = new Uint8Array(syncAnswerBytes(lengthBytes, 12, 0)).fill(9);
  const { start, end } = packSyncAnswer(bytes, lengthBytes, 12, []);
  return bytes.subarray(start, end);
}

export function claim(epoch: number, clientInstance = CLIENT): ControlRequest {
  return { op: 'claim', poolUuid: POOL, epoch, clientInstance, clientName: 'client-1', takeover: false };
}

export type RecordRequest = ControlRequest & { op: 'record-version' };

/** The record of version 1.`seq` of these members. */
export function record(seq: number, memberIds: readonly number[], rest: Partial<RecordRequest> & { horizon?: number } = {}): RecordRequest {
  const { horizon = 0, ...fields } = rest;
  const version = versionOf(seq, memberIds, { horizon });
  const members = [1, 2, 3].map((memberId) => memberOf(memberId));
  const base = { op: 'record-version' as const, poolUuid: POOL, epoch: 1, version, members, policy: POLICY, newLineage: false };
  return { ...base, mapAdds: [], mapKnown: [], mapErase: [], maps: [], ...fields };
}

/** Hands over a column whole. */
export function stage(memberId: number, map: DirtyMap, reset = true): ControlRequest {
  return { op: 'map-stage', poolUuid: POOL, epoch: 1, memberId, reset, leaves: readLeaves(map, 0).leaves };
}

export const FREEZE: ControlRequest = { op: 'freeze', poolUuid: POOL, epoch: 1 };
export const ENABLE: ControlRequest & { op: 'enable' } = { op: 'enable', poolUuid: POOL, epoch: 1, versionSeq: 1 };

/** A map in which these chunks are dirty. */
export function mapWith(...chunks: number[]): DirtyMap {
  const map = new DirtyMap(CHUNKS);
  for (const chunk of chunks) map.set(chunk, 1);
  return map;
}
