import { type DiskExtent, Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { IO_BYTES_MAX } from '../constants.ts';
import { Resync } from '../core/server/resync/resync.ts';
import { ResyncBudget } from '../core/server/resync/resync-budget.ts';
import type { ResyncOptions } from '../core/server/resync/resync-types.ts';
import { packSyncAnswer, syncAnswerBytes, syncRoomBytes } from '../core/server/resync/sync-answer.ts';
import { type SyncPeer, SyncPeers } from '../core/server/resync/sync-peers.ts';
import type { ByteRange, LastIo, VersionRecord } from '../pool-store.ts';
import { IoFlag } from '../wire/io-message.ts';
import { packSparse, sparseRoomBytes } from '../wire/sparse-data.ts';
import { encodeUnresolved } from '../wire/unresolved-writes.ts';
import { identityOf, memberOf, ScriptedSessions, storeOf, versionOf } from './scripted-pool.ts';
import type { ScriptedSession } from './scripted-session.ts';
import { ScriptedStore } from './scripted-store.ts';

/** The resync of member 1, in a pool with members 2 and 3, whose ends of the sync legs are the test. */
export class ResyncRig {
  readonly world = new VirtualWorld();
  readonly sessions = new ScriptedSessions();
  readonly store: ScriptedStore;
  readonly peers: SyncPeers;
  readonly resync: Resync;
  readonly budget: ResyncBudget;
  /** How often what waits was told to look again. */
  released = 0;
  /** How often a pull has found no space. */
  refused = 0;
  /** What was pulled, in order. */
  readonly pulled: ByteRange[] = [];
  readonly #chunkSizeBytes: number;

  constructor({ chunks = 64, chunkSizeBytes = 4096, short = 0, options = {} }: ResyncSetting = {}) {
    this.#chunkSizeBytes = chunkSizeBytes;
    this.store = new ScriptedStore(identityOf(1, chunks, chunkSizeBytes, short));
    this.store.members = [1, 2, 3].map((memberId) => memberOf(memberId));
    this.peers = new SyncPeers(this.world, this.store, this.sessions, () => this.resync.poke());
    this.budget = new ResyncBudget(options);
    this.resync = new Resync(
      this.world,
      this.store,
      this.peers,
      options,
      this.budget,
      () => void this.released++,
      (offsetBytes, lengthBytes) => void this.pulled.push({ offsetBytes, lengthBytes }),
      () => void this.refused++,
    );
    this.world.check(() => this.resync.verify());
  }

  session(memberId: number): ScriptedSession {
    return this.sessions.of({ memberId });
  }

  peer(memberId: number): SyncPeer {
    return this.peers.all().find((one) => one.member.memberId === memberId) as SyncPeer;
  }

  /** Reads under way at a member, as `firstChunk+count`. */
  reads(memberId: number): string[] {
    return this.session(memberId).ios.map(
      ({ message }) => `${message.offsetBytes / this.#chunkSizeBytes}+${Math.ceil(message.lengthBytes / this.#chunkSizeBytes)}`,
    );
  }

  /** What the store is asked for and has not ended. */
  held(): string[] {
    return this.store.held.map(({ what }) => what);
  }

  /** A chunk run as the store notes it. */
  at(first: number, count = 1): string {
    return `${first * this.#chunkSizeBytes}+${count * this.#chunkSizeBytes}`;
  }

  /** Version 3.`seq`. */
  version(seq: number, memberIds: readonly number[]): VersionRecord {
    return versionOf(seq, memberIds, { epoch: 3 });
  }

  /** The pool is NORMAL under version 5 (unless told otherwise), and these members have answered sync-join. */
  start(joined: readonly number[] = [2, 3], inForce = this.version(5, [1, 2, 3])): void {
    this.peers.start(inForce);
    this.resync.start(inForce);
    this.world.run(50);
    for (const memberId of joined) {
      this.session(memberId)
        .next('sync-join')
        .answer({ poolHandle: 40 + memberId, memberId, storeUuid: storeOf(memberId) });
    }
    this.turn();
  }

  /** Ends the turn. */
  turn(): void {
    this.world.run(0);
    this.resync.verify();
  }

  /** A member answers its oldest read. */
  answer(memberId: number, status: number = Status.OK, fill = 9, lengthBytes?: number, unresolved: readonly LastIo[] = []): void {
    const io = this.session(memberId).ios.shift();
    if (io === undefined) throw new Error(`nothing is read from member ${memberId}`);
    if (status === Status.OK && (io.message.flags & IoFlag.SPARSE) !== 0 && lengthBytes === undefined) {
      io.answer(status, sparseAnswer(new Uint8Array(Math.min(io.message.lengthBytes, IO_BYTES_MAX)).fill(fill), unresolved));
    } else if (status === Status.OK) {
      const dataBytes = lengthBytes ?? io.message.lengthBytes;
      const payload = new Uint8Array(dataBytes + 24 * unresolved.length).fill(fill, 0, dataBytes);
      encodeUnresolved(unresolved, payload.subarray(dataBytes));
      io.answer(status, payload);
    } else io.answer(status);
    this.turn();
  }

  /** A member answers its oldest read with these runs: their data is nines. */
  answerRuns(memberId: number, runs: readonly DiskExtent[], unresolved: readonly LastIo[] = []): void {
    const io = this.session(memberId).ios.shift();
    if (io === undefined) throw new Error(`nothing is read from member ${memberId}`);
    const room = sparseRoomBytes(runs.length);
    const bytes = new Uint8Array(room + runs.reduce((sum, run) => sum + run.lengthBytes, 0) + 24 * unresolved.length).fill(9);
    const { start, end } = packSparse(bytes, room, runs);
    io.answer(Status.OK, bytes.subarray(start, end + encodeUnresolved(unresolved, bytes.subarray(end))));
    this.turn();
  }

  /** Everything that is under way ends well, and what comes of it. */
  pullAll(): void {
    for (let again = true; again; ) {
      again = this.store.endAll().length > 0;
      this.turn();
      for (const [address, { ios }] of this.sessions.all()) {
        if (ios.length === 0) continue;
        this.answer(Number(address.slice(-1)));
        again = true;
      }
    }
  }
}

export interface ResyncSetting {
  readonly chunks?: number;
  readonly chunkSizeBytes?: number;
  /** Bytes that the last chunk lacks. */
  readonly short?: number;
  readonly options?: ResyncOptions;
}

/** The answer of a source that leaves out blocks of zeroes of 4 KiB. */
function sparseAnswer(data: Uint8Array, unresolved: readonly LastIo[]): Uint8Array {
  const bytes = new Uint8Array(syncAnswerBytes(data.length, 12, unresolved.length));
  bytes.set(data, syncRoomBytes(data.length, 12));
  const { start, end } = packSyncAnswer(bytes, data.length, 12, unresolved);
  return bytes.subarray(start, end);
}
