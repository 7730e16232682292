import { SILENT_LOGGER, Status, statusName, type TurnTask } from '@rmr/runtime';
import { IoEngine, type IoEngineHost } from '../core/client/io/io-engine.ts';
import { IoRequest, type IoType } from '../core/client/io/io-request.ts';
import { ReadPolicy } from '../core/client/io/read-policy.ts';
import type { Leg } from '../core/client/legs/leg.ts';
import { MessageType } from '../wire/io-message.ts';
import { ScriptedLeg } from './scripted-leg.ts';

/**
 * An IO engine with three legs. The first two are in the in-sync set, under version 5.1, which member 3 misses. The test answers for the
 * members, and is the engine's host through {@link host}: a leg that fails leaves, and waits for a version.
 */
export class EngineRig {
  readonly legs = [new ScriptedLeg(), new ScriptedLeg(), new ScriptedLeg()];
  readonly engine: IoEngine;
  /** How requests have ended, in order: `w OK`. */
  readonly ended: string[] = [];
  /** The legs that had to leave, in order, with the reasons. */
  readonly failed: { readonly mask: number; readonly reason: string }[] = [];
  /** The ranges of the writes that members outside of the set miss. */
  readonly missed: { readonly offsetBytes: number; readonly lengthBytes: number }[] = [];
  /** The ranges that the engine has told as unreadable, and as read. */
  readonly unreadable: { readonly offsetBytes: number; readonly lengthBytes: number }[] = [];
  readonly readable: { readonly offsetBytes: number; readonly lengthBytes: number }[] = [];
  readonly turn: TurnTask[] = [];
  /** How often another client was said to have the pool. */
  fenced = 0;
  /** How often a map update could go on. */
  quiet = 0;
  nowMs = 0;
  readonly host: IoEngineHost = {
    onFenced: () => void this.fenced++,
    onLegsFailed: (mask, reason) => {
      this.failed.push({ mask, reason });
      this.engine.gate.awaitVersion(false);
      this.engine.legsLeft(mask);
    },
    cleanLegs: (_offset, _length, candidates) => candidates,
    absentMayHave: () => false,
    eachChunkClean: () => false,
    readByChunks: () => false,
    onUnreadable: (offsetBytes, lengthBytes) => void this.unreadable.push({ offsetBytes, lengthBytes }),
    onRead: (offsetBytes, lengthBytes) => void this.readable.push({ offsetBytes, lengthBytes }),
    onWriteEnded: ({ offsetBytes, lengthBytes }, _status, _carriedOut, isMissed) => {
      if (isMissed) this.missed.push({ offsetBytes, lengthBytes });
    },
    hastenReturn: () => false,
    flushMustWait: () => false,
  };

  constructor() {
    const world = {
      clock: { nowMs: () => this.nowMs, wallMs: () => 0 },
      ticker: { subscribe() {}, unsubscribe() {} },
      turn: { defer: (task: TurnTask) => void this.turn.push(task) },
      random: { u32: () => 0 },
      log: SILENT_LOGGER,
    };
    const inFlight = new Int32Array(8);
    const policy = new ReadPolicy('round-robin', inFlight);
    this.engine = new IoEngine(world, this.host, this.legs as unknown as Leg[], UNITS, policy, inFlight);
    this.engine.resume(0b011, 5, 1, [3]);
  }

  /** The names of the requests that have ended, in order. */
  get endedNames(): string[] {
    return this.ended.map((end) => end.slice(0, end.lastIndexOf(' ')));
  }

  leg(index: number): ScriptedLeg {
    return this.legs[index] as ScriptedLeg;
  }

  /** What was sent on a leg and is not answered, oldest first. */
  sent(leg: number): ScriptedLeg['sent'] {
    return this.leg(leg).sent;
  }

  /** The types of what was sent on a leg and is not answered, oldest first. */
  types(leg: number): number[] {
    return this.sent(leg).map(({ message }) => message.type);
  }

  write(name: string, offsetBytes = 0, lengthBytes = 4096): void {
    this.submit(name, MessageType.WRITE, offsetBytes, lengthBytes);
  }

  read(name: string, offsetBytes = 0, lengthBytes = 4096): void {
    this.submit(name, MessageType.READ, offsetBytes, lengthBytes);
  }

  flush(name: string): void {
    this.submit(name, MessageType.FLUSH, 0, 0);
  }

  submit(name: string, type: IoType, offsetBytes: number, lengthBytes: number): IoRequest {
    const request = new IoRequest({ onIoDone: (_request, status) => this.ended.push(`${name} ${statusName(status)}`) });
    const payload = type === MessageType.WRITE ? new Uint8Array(lengthBytes) : null;
    this.engine.submit(Object.assign(request, { type, offsetBytes, lengthBytes, payload }));
    this.engine.verify();
    return request;
  }

  /** Answers the oldest request on a leg. */
  answer(leg: number, status: number = Status.OK): void {
    const message = this.sent(leg)[0]?.message;
    const hasData = message?.type === MessageType.READ && status === Status.OK;
    this.leg(leg).answer(status, hasData ? new Uint8Array(message.lengthBytes) : undefined);
    this.engine.verify();
  }

  /** Both legs of the set answer their oldest request. */
  answerBoth(status: number = Status.OK): void {
    this.answer(0, status);
    this.answer(1, status);
  }

  /** A map update is ahead. */
  quiesce(): void {
    this.engine.gate.quiesce(() => void this.quiet++);
  }

  /** Ends the turn. */
  endTurn(): void {
    for (const task of this.turn.splice(0)) task.runAtTurnEnd();
    this.engine.verify();
  }
}

const UNITS = 4;
