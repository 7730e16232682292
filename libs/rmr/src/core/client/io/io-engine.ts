import type { RtrsResponseSink } from '@rmr/rtrs';
import { assert, type Slab, Status, statusName, type World } from '@rmr/runtime';
import { MEMBERS_MAX, QUEUE_DEPTH_DEFAULT, SLOW_LEG_FACTOR_DEFAULT, SLOW_LEG_FOR_MS_DEFAULT } from '../../../constants.ts';
import type { ByteRange } from '../../../pool-store.ts';
import { overlapsAny } from '../../../ranges.ts';
import { isWriteType, MessageType } from '../../../wire/io-message.ts';
import type { Leg } from '../legs/leg.ts';
import { type Excuse, LegHoldUps } from '../legs/leg-hold-ups.ts';
import type { PoolClientOptions } from '../pool-client-types.ts';
import { endsUnharmed, leaversOf, mayLeaveOnce, mayWaitForReturn, whyTheyLeave } from './failed-write.ts';
import { InFlightRanges, verifyInFlight } from './in-flight-ranges.ts';
import { PoolClientCounters } from './io-counters.ts';
import { IoGate, IoState } from './io-gate.ts';
import { type IoRequest, isLegWide, isMemberOut } from './io-request.ts';
import { IoUnits, legIndexOf } from './io-units.ts';
import { FeltAnswers, LegSender } from './leg-sender.ts';
import { ReadPolicy } from './read-policy.ts';
import { mustKeepOrder, WaitingList } from './waiting-list.ts';
import { WriteSequence } from './write-sequence.ts';

/**
 * Carries out the IO of a pool. It sends writes to every in-sync leg and reads to one, and decides when they are complete.
 *
 * It keeps these rules: W1 (units, sequence numbers, overlaps wait), W5 (completion), W7 (completedThrough), those of flushes and reads,
 * I12 (nothing is in flight beyond the units; the rest waits). Its {@link IoGate} says what has to wait, its {@link LegSender} sends.
 */
export class IoEngine implements RtrsResponseSink {
  readonly counters = new PoolClientCounters();
  /** By leg index: the number of requests that the leg was sent and has not answered. */
  readonly inFlight: Int32Array;
  readonly #world: World;
  readonly #host: IoEngineHost;
  readonly #policy: ReadPolicy;
  readonly #felt: FeltAnswers;
  readonly #sender: LegSender;
  /** What IO has to wait for. */
  readonly gate: IoGate;

  /** The legs that take part in IO: NORMAL ones, which are in the current version's set unless a change is pending. */
  #routeMask = 0;
  /** Looks at the requests in flight, and is told of every answer. */
  holdUps = new LegHoldUps({ slowFactor: null, slowForMs: 0 });
  /** The legs that have a dirty chunk. Reads are steered around it. */
  dirtyMask = 0;
  /** Ranges of owed map adds, which would leave no clean copy. Writes that touch them are not acknowledged (V5, ◆13). */
  #owed: readonly ByteRange[] = [];
  /** The number of the round. Requests that bounced wait for the next one, which a new version or a tick begins. */
  #round = 2;
  /** Set once. Every request ends with this status from then on. */
  #closedStatus: number = Status.OK;
  #nextTicket = 1;
  /** The next flush fails: acknowledged data that was not flushed is lost for certain. Later ones do not. */
  #flushErrorDue = false;

  readonly #units: IoUnits;
  readonly #writes: InFlightRanges;
  readonly #sequence: WriteSequence;
  /** By leg: the sequence number of the newest write that it has answered since it was enabled (L8). 0: none. */
  readonly answeredSeqs = new Float64Array(MEMBERS_MAX);
  /** Reads in flight. A write that overlaps one waits: a crash could undo the write after the read has shown it. */
  readonly #reads: InFlightRanges;
  readonly #waiting = new WaitingList();
  #draining = false;

  constructor(world: World, host: IoEngineHost, legs: readonly Leg[], unitCount: number, policy: ReadPolicy, inFlight: Int32Array) {
    this.#world = world;
    this.#host = host;
    this.#policy = policy;
    this.#felt = new FeltAnswers(host);
    this.#units = new IoUnits(unitCount);
    this.gate = new IoGate(world.clock, this.#units);
    this.inFlight = inFlight;
    this.#sender = new LegSender(legs, this.#units, this.#felt, inFlight, this);
    this.#reads = new InFlightRanges(unitCount);
    this.#writes = new InFlightRanges(unitCount);
    this.#sequence = new WriteSequence(this.#writes, unitCount);
  }

  get routeMask(): number {
    return this.#routeMask;
  }

  /** The sequence number of the newest write. */
  get writeSeq(): number {
    return this.#sequence.newest;
  }

  /** All writes up to this one are resolved (W7). */
  get completedThrough(): number {
    return this.#sequence.completedThrough();
  }

  /** The number of requests in flight. */
  get executing(): number {
    return this.#units.unitCount - this.#units.freeCount;
  }

  /** The number of requests that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Calls `visit` for every request, for status. `isSent`: it is in flight. `pending`: the legs that have not answered it, as a mask. */
  forEachRequest(visit: (request: IoRequest, isSent: boolean, pending: number) => void): void {
    const { requests, pending } = this.#units;
    for (const [unit, request] of requests.entries()) if (request !== null) visit(request, true, pending[unit] as number);
    for (let request = this.#waiting.head; request !== null; request = request.next) visit(request, false, 0);
  }

  /** The ranges of owed adds (V5). */
  get owed(): readonly ByteRange[] {
    return this.#owed;
  }

  /** Takes a request. It ends through its sink, never from within this call. */
  submit(request: IoRequest): void {
    request.ticket = this.#nextTicket++;
    request.triedMask = 0;
    request.failedMask = 0;
    request.leftMask = 0;
    request.round = 0;
    request.begun = false;
    request.submittedAtMs = this.#world.clock.nowMs();
    if ((this.#waiting.head !== null && this.#waiting.holds(request)) || this.#closedStatus !== Status.OK || !this.#dispatch(request)) {
      this.#waiting.append(request);
      if (this.#closedStatus !== Status.OK) this.#world.turn.defer(this.#refuser);
    }
  }

  /**
   * W9: nobody wants the request any more. True: it had not begun, and never will. It is the submitter's again, and its sink is not
   * called. False: it has ended, or it has begun and goes on, as members that have carried it out must not differ from those that have
   * not (I2). Requests that waited for it go on at the end of the turn.
   */
  cancel(request: IoRequest): boolean {
    // A write for which no leg is left (V6) has begun. It waits to be sent again.
    if (!request.waits || request.begun) return false;
    this.#waiting.remove(request);
    this.counters.cancelled++;
    this.#world.turn.defer(this.#drainer);
    return true;
  }

  /** IO starts, or goes on, with these legs under this version. `missing` are the ids of the members outside of it. */
  resume(routeMask: number, epoch: number, versionSeq: number, missing: readonly number[]): void {
    this.#routeMask = routeMask;
    this.setVersion(epoch, versionSeq, missing);
  }

  /** Makes the next flush fail, once: data that was acknowledged and not flushed is lost for certain. */
  failNextFlush(): void {
    this.#flushErrorDue = true;
  }

  /** From now on these legs are in the set. All IO waits until enough members have recorded its version. */
  route(routeMask: number): void {
    assert(this.gate.state === IoState.WITHOUT_QUORUM, 'engine: legs come without a version change');
    this.#routeMask = routeMask;
  }

  /** A version has become durable on its whole set. What waited for it completes or is sent. */
  setVersion(epoch: number, versionSeq: number, missing: readonly number[]): void {
    this.#sender.setVersion(epoch, versionSeq, missing);
    this.gate.open();
    this.#round++;
    this.#settleAll();
    this.#drain();
  }

  /** Sets the ranges of adds that members may not make yet. Those that were owed and are not among them have been made. */
  setOwed(ranges: readonly ByteRange[]): void {
    this.#owed = ranges;
  }

  /** Looks again at what kept writes and flushes from completing: owed adds, chunks without a clean in-sync copy. */
  settleAgain(): void {
    this.#settleAll();
    this.#drain();
  }

  #settleAll(): void {
    const units = this.#units;
    for (let unit = 0; unit < units.unitCount; unit++) {
      const request = units.requests[unit] as IoRequest | null;
      if (request !== null && units.pending[unit] === 0 && !this.gate.versionPending) this.#settle(unit, request);
    }
  }

  /**
   * These legs are sent nothing more, and nothing waits for them (L1). So that no write completes because of that, the caller has
   * begun a version change.
   */
  legsLeft(mask: number): void {
    const units = this.#units;
    assert(this.gate.versionPending, 'L1: a leg left IO without a version change');
    this.#routeMask &= ~mask;
    for (let unit = 0; unit < units.unitCount; unit++) {
      const request = units.requests[unit] as IoRequest | null;
      if (request === null) continue;
      if (isLegWide(request)) {
        units.legsLeft(unit, mask);
      } else if (((units.pending[unit] as number) & mask) !== 0) {
        this.#releaseUnit(unit);
        this.#waiting.insertByTicket(request);
      }
    }
    this.#drain();
  }

  /** No leg is left. Everything in flight waits, to be sent again when there is a leg (V6). */
  allLegsLeft(): void {
    this.#routeMask = 0;
    this.gate.loseLegs();
    this.#owed = [];
    for (let unit = 0; unit < this.#units.unitCount; unit++) {
      const request = this.#units.requests[unit] as IoRequest | null;
      if (request === null) continue;
      this.#releaseUnit(unit);
      this.#waiting.insertByTicket(request);
    }
  }

  /** The ranges of the writes in flight: what members that leave may miss (V2). */
  incompleteWriteRanges(): ByteRange[] {
    const units = [...this.#writes.units.subarray(0, this.#writes.count)];
    return units.map((unit) => {
      const { offsetBytes, lengthBytes } = this.#units.requests[unit] as IoRequest;
      return { offsetBytes, lengthBytes };
    });
  }

  /** Ends every request with `status`, now and in future. */
  close(status: number): void {
    if (this.#closedStatus === Status.OK) this.#closedStatus = status;
    this.allLegsLeft();
    this.#refuser.runAtTurnEnd();
  }

  /** Ends with EIO what was submitted before `waitingBeforeMs`. Returns the legs that have not answered since `sentBeforeMs`, as a mask. */
  expire(waitingBeforeMs: number, sentBeforeMs: number): number {
    const units = this.#units;
    for (let request = this.#waiting.head; request !== null; ) {
      const next: IoRequest | null = request.next;
      if (request.submittedAtMs < waitingBeforeMs) {
        this.#waiting.remove(request);
        this.finish(request, Status.EIO, null, null);
      }
      request = next;
    }
    let slow = 0;
    for (let unit = 0; unit < units.unitCount; unit++) {
      const request = units.requests[unit] as IoRequest | null;
      if (request === null) continue;
      if ((units.sentAtMs[unit] as number) < sentBeforeMs) slow |= units.pending[unit] as number;
      if (request.submittedAtMs >= waitingBeforeMs || units.pending[unit] !== 0) continue;
      // Flushes may fail, and writes that no member has applied: members do not differ because of it. Another write goes on until all
      // agree, as others may have pulled what a member that has left may have applied (I2).
      const untouched = units.again[unit] !== 0 && units.applied(unit) === 0 && units.touched[unit] === 0;
      if (untouched || (request.type === MessageType.FLUSH && !this.gate.versionPending))
        this.#complete(unit, request, Status.EIO, null, null);
    }
    return slow;
  }

  /** Sends what waits, as permits may be free again. */
  retryWaiting(): void {
    this.#drain();
  }

  /** Begins a round: sends again what bounced. */
  nextRound(): void {
    this.#round++;
    this.#drain();
  }

  /** L7: the leg that has to leave because it holds up IO that others have answered, as a mask. 0: none. Called with every tick. */
  laggard(nowMs: number, excuse: Excuse): number {
    return this.holdUps.look(nowMs, this.#units, this.#routeMask, excuse);
  }

  onResponse(
    tag: number,
    status: number,
    _header: Uint8Array,
    _headerOffset: number,
    _headerLength: number,
    payload: Uint8Array | null,
    slab: Slab | null,
  ): void {
    const legIndex = legIndexOf(tag);
    const bit = 1 << legIndex;
    this.inFlight[legIndex] = (this.inFlight[legIndex] as number) - 1;
    this.holdUps.answers[legIndex] = (this.holdUps.answers[legIndex] as number) + 1;
    const units = this.#units;
    const unit = units.answered(tag);
    // Nothing waits for this answer any more.
    if (unit < 0) return;
    const request = units.requests[unit] as IoRequest;
    const tookMs = this.#world.clock.nowMs() - (units.sentAtMs[unit] as number);
    if (isLegWide(request)) units.peersMs[unit] = tookMs;
    if (status === Status.OK) this.#felt.note(legIndex, request, tookMs, (this.dirtyMask & bit) !== 0);
    if (status === Status.OK) {
      if (!isLegWide(request)) {
        if (!this.gate.mayRead) this.#waitAgain(unit, request);
        else if (payload !== null && (request.type === MessageType.EXTENTS || payload.length === request.lengthBytes))
          this.#readEnded(unit, request, payload, slab);
        else this.#readFailed(unit, request, bit, Status.EPROTO);
        return;
      }
      units.ok[unit] = (units.ok[unit] as number) | bit;
      if (request.type !== MessageType.FLUSH)
        this.answeredSeqs[legIndex] = Math.max(this.answeredSeqs[legIndex] as number, this.#sequence.of(unit));
    } else if (status === Status.EPASSED && isWriteType(request.type)) {
      // The write may have changed nothing there, so the store need not know of it (L8).
      units.passed[unit] = (units.passed[unit] as number) | bit;
    } else if (status === Status.EDIRTY && request.type === MessageType.READ) {
      this.#readElsewhere(unit, request, bit);
      return;
    } else if (status === Status.ESTALE) {
      this.#host.onFenced();
      return;
    } else if (status === Status.EBOUNCED) {
      this.counters.bounces++;
      if (!isLegWide(request)) {
        request.round = this.#round;
        this.#waitAgain(unit, request);
        return;
      }
      units.sendAgain(unit, this.#round);
    } else if (!isLegWide(request)) {
      this.#readFailed(unit, request, bit, status);
      return;
    } else {
      units.noteFailed(unit, bit, status);
    }
    if (units.pending[unit] === 0) {
      this.#settle(unit, request);
      this.#drain();
      this.gate.noticeQuiet();
    }
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    verifyInFlight(this.#units, this.#writes, this.#reads, this.#routeMask);
    assert(this.gate.state !== IoState.WITHOUT_LEGS || this.#routeMask === 0, 'engine: IO is routed without a leg');
    this.#waiting.verify();
  }

  /** Ends requests that were submitted to a closed engine. */
  readonly #refuser = {
    turnQueued: false,
    runAtTurnEnd: (): void => {
      for (let request = this.#waiting.head; request !== null; request = this.#waiting.head) {
        this.#waiting.remove(request);
        this.finish(request, this.#closedStatus, null, null);
      }
    },
  };

  /** Sends requests that waited for one that was cancelled. */
  readonly #drainer = { turnQueued: false, runAtTurnEnd: (): void => this.#drain() };

  #drain(): void {
    if (this.#draining) return;
    if (this.#units.againCount > 0) this.#sendAgain();
    if (this.#waiting.head === null) return;
    this.#draining = true;
    let kept = 0;
    for (let request: IoRequest | null = this.#waiting.head; request !== null && this.#units.freeCount > 0; ) {
      const next: IoRequest | null = request.next;
      if (!(kept > 0 && this.#heldByEarlier(request)) && this.#dispatch(request, true)) this.#waiting.remove(request);
      else kept++;
      request = next;
    }
    this.#draining = false;
  }

  /** Sends again what bounced, oldest first, as far as permits go. */
  #sendAgain(): void {
    const units = this.#units;
    if (this.gate.writesWait || this.#routeMask === 0) return;
    for (let unit = 0; unit < units.unitCount && units.againCount > 0; unit++) {
      const round = units.again[unit] as number;
      const request = units.requests[unit] as IoRequest | null;
      if (round === 0 || request === null || units.pending[unit] !== 0 || round === this.#round) continue;
      if (!this.#sender.takePermits(this.#routeMask)) return;
      units.beginAgain(unit, this.#world.clock.nowMs());
      this.#sendWide(unit, request);
    }
  }

  #heldByEarlier(request: IoRequest): boolean {
    for (let earlier = this.#waiting.head; earlier !== null && earlier !== request; earlier = earlier.next) {
      if (mustKeepOrder(earlier, request)) return true;
    }
    return false;
  }

  /** Sends the request if nothing holds it back. Returns whether it was sent. */
  #dispatch(request: IoRequest, again = false): boolean {
    if (this.#routeMask === 0 || this.#units.freeCount === 0) return false;
    const legWide = isLegWide(request);
    if (legWide ? this.gate.writesWait : !this.gate.mayRead) return false;
    if (request.round === this.#round) return false;
    const { offsetBytes, lengthBytes } = request;
    // W1.
    if (
      request.type !== MessageType.FLUSH &&
      (this.#writes.overlaps(offsetBytes, lengthBytes) || (legWide && this.#reads.overlaps(offsetBytes, lengthBytes)))
    ) {
      if (!again) this.counters.overlapHolds++;
      return false;
    }
    return legWide ? this.#sendToAll(request) : this.#sendToOne(request);
  }

  #sendToAll(request: IoRequest): boolean {
    if (!this.#sender.takePermits(this.#routeMask)) return false;
    request.begun = true;
    const unit = this.#units.take(request, this.#world.clock.nowMs());
    if (request.type !== MessageType.FLUSH) this.#writes.add(unit, request.offsetBytes, request.lengthBytes);
    this.#sendWide(unit, request);
    return true;
  }

  /** Sends a write or flush to every leg in IO. Their permits are taken. */
  #sendWide(unit: number, request: IoRequest): void {
    const mask = this.#routeMask;
    this.#units.sentToAll(unit, mask);
    const writeSeq = request.type === MessageType.FLUSH ? 0 : this.#sequence.next(unit);
    this.#sender.send(unit, mask, request, writeSeq, this.#sequence.completedThrough());
  }

  #sendToOne(request: IoRequest): boolean {
    let candidates = this.#routeMask & ~request.triedMask;
    if (candidates === 0) {
      // The legs that had not failed it have left meanwhile.
      request.triedMask = 0;
      candidates = this.#routeMask;
    }
    if ((this.dirtyMask & candidates) !== 0) candidates = this.#host.cleanLegs(request.offsetBytes, request.lengthBytes, candidates);
    const index = this.#policy.choose(candidates);
    if (!this.#sender.takePermits(1 << index)) return false;
    const unit = this.#units.take(request, this.#world.clock.nowMs());
    this.#units.sentToOne(unit, 1 << index);
    if (request.type === MessageType.READ) this.#reads.add(unit, request.offsetBytes, request.lengthBytes);
    this.#sender.send(unit, 1 << index, request, 0, this.#sequence.completedThrough());
    return true;
  }

  #releaseUnit(unit: number): void {
    const request = this.#units.requests[unit] as IoRequest;
    if (isWriteType(request.type)) {
      this.#writes.remove(unit);
      this.#sequence.ended(unit);
    } else if (request.type === MessageType.READ) {
      this.#reads.remove(unit);
    }
    this.#units.release(unit);
  }

  /** W5: completes a write or flush that all legs of the set have answered, or says which legs leave. */
  #settle(unit: number, request: IoRequest): void {
    const units = this.#units;
    if (this.gate.versionPending || !isLegWide(request) || units.again[unit] !== 0) return;
    const failed = (units.failed[unit] as number) & this.#routeMask;
    const status = units.statuses[unit] as number;
    if (failed !== 0) {
      const passed = (units.passed[unit] as number) & this.#routeMask;
      const unharmed = endsUnharmed(units, unit, request, failed, passed);
      if (unharmed !== Status.OK) {
        this.#complete(unit, request, unharmed, null, null);
        return;
      }
      const isThere = units.ok[unit] !== 0 || this.#isCovered(unit, request);
      const leavesOnce = !isThere && mayLeaveOnce(units, unit, request, failed, passed);
      const leavers = leaversOf(units, unit, request, failed, passed, isThere || leavesOnce);
      const isWrite = isWriteType(request.type);
      if (leavers === 0 && isWrite && (this.#routeMask & ~(failed | passed)) !== 0) {
        // I2: a leg has joined since it was sent. That leg lacks what the failed one may have carried out.
        units.touched[unit] = 1;
        units.sendAgain(unit, this.#round - 1);
      } else if (leavers === 0 && status === Status.EIO && isWrite && mayWaitForReturn(this.#host, request, this.#world.clock.nowMs())) {
        // A member may have carried out a part of it. It goes on from there.
        units.touched[unit] = 1;
        units.sendAgain(unit, this.#round);
      } else if (leavers === 0) this.#complete(unit, request, status === Status.ELOST ? Status.EIO : status, null, null);
      else this.#host.onLegsFailed(leavers, whyTheyLeave(units, unit, request, failed, leavers));
      if (leavesOnce) this.#host.hastenReturn();
      return;
    }
    if ((((units.ok[unit] as number) | (units.passed[unit] as number)) & this.#routeMask) !== this.#routeMask) {
      // A leg has joined since it was sent. That leg gets it at once.
      units.sendAgain(unit, this.#round - 1);
      return;
    }
    if (units.passed[unit] !== 0 && units.ok[unit] === 0 && !this.#isCovered(unit, request)) {
      // W10: no leg is known to have some chunk of it. A member that has it may be away, or not be known yet to have it.
      this.counters.bounces++;
      units.sendAgain(unit, this.#round);
      return;
    }
    if (request.type === MessageType.FLUSH) {
      if (this.#host.flushMustWait()) return;
      if (this.#flushErrorDue) {
        this.#flushErrorDue = false;
        this.#complete(unit, request, Status.EIO, null, null);
        return;
      }
    } else if (overlapsAny(request, this.#owed)) {
      return;
    }
    this.#complete(unit, request, Status.OK, null, null);
  }

  /** W10: whether the legs that have passed chunks by have carried out every chunk of the write together. */
  #isCovered(unit: number, { offsetBytes, lengthBytes }: IoRequest): boolean {
    const passed = (this.#units.passed[unit] as number) & this.#routeMask;
    return passed !== 0 && this.#host.eachChunkClean(offsetBytes, lengthBytes, passed);
  }

  /** W10: the leg lacks a chunk of the read, so another one is asked. If each lacks some of the range, it is read chunk by chunk. */
  #readElsewhere(unit: number, request: IoRequest, bit: number): void {
    this.#releaseUnit(unit);
    request.triedMask |= bit;
    if ((this.#routeMask & ~request.triedMask) === 0) {
      if (this.#host.readByChunks(request)) return;
      request.triedMask = 0;
      request.round = this.#round;
    }
    this.counters.readRetries++;
    this.#waiting.insertByTicket(request);
    this.#drain();
  }

  /** A read goes back into the line, to be sent again. */
  #waitAgain(unit: number, request: IoRequest): void {
    this.#releaseUnit(unit);
    this.#waiting.insertByTicket(request);
    this.#drain();
  }

  /** A read was answered. Legs whose disks failed it leave. What they could not read is dirty for them, and written anew, later. */
  #readEnded(unit: number, request: IoRequest, payload: Uint8Array, slab: Slab | null): void {
    const failed = request.failedMask & this.#routeMask & ~(this.#units.pending[unit] as number);
    if (request.type === MessageType.READ) this.#host.onRead(request.offsetBytes, request.lengthBytes);
    this.#complete(unit, request, Status.OK, payload, slab);
    if (failed !== 0) this.#host.onLegsFailed(failed, 'its disk failed a read that another member has answered');
  }

  #readFailed(unit: number, request: IoRequest, bit: number, status: number): void {
    this.#releaseUnit(unit);
    const isOut = isMemberOut(status) && status !== Status.ELOST;
    if (!isOut) request.triedMask |= bit;
    // The leg leaves only when another one has answered (I8). If nobody else has the chunk, leaving would help nobody.
    if (status === Status.EIO) request.failedMask |= bit;
    const others = isOut || (this.#routeMask & ~request.triedMask) !== 0;
    const badEverywhere = !others && request.failedMask !== 0;
    const split = badEverywhere && this.#host.readByChunks(request);
    // A member that is away may have the chunk: the read waits for it, and is tried now and then.
    const absent = badEverywhere && !split && this.#host.absentMayHave(request.offsetBytes, request.lengthBytes);
    if (absent) request.round = this.#round;
    if (others || absent) {
      this.#waiting.insertByTicket(request);
      if (status !== Status.ELOST) this.counters.readRetries++;
      if (status !== Status.EIO && status !== Status.ELOST) this.#host.onLegsFailed(bit, `read failed: ${statusName(status)}`);
    } else if (!split) {
      if (badEverywhere && request.type === MessageType.READ) this.#host.onUnreadable(request.offsetBytes, request.lengthBytes);
      this.finish(request, status === Status.ELOST ? Status.EIO : status, null, null);
    }
    this.#drain();
  }

  #complete(unit: number, request: IoRequest, status: number, payload: Uint8Array | null, slab: Slab | null): void {
    const units = this.#units;
    this.#releaseUnit(unit);
    // What no member has applied is not missed: an absent member may have the only clean copy of some of these chunks (V5).
    const failed = units.statuses[unit] === Status.ELOST ? 0 : (units.failed[unit] as number) & ~(units.full[unit] as number);
    const carriedOut = units.ok[unit] as number;
    const applied = (carriedOut | failed | (units.passed[unit] as number) | (units.touched[unit] as number)) !== 0;
    if (isWriteType(request.type)) this.#host.onWriteEnded(request, status, carriedOut, applied && this.#sender.misses);
    this.finish(request, status, payload, slab);
    this.#drain();
  }

  /** Ends a request that holds no unit and does not wait any more. The host ends a read by chunks with it. */
  finish(request: IoRequest, status: number, payload: Uint8Array | null, slab: Slab | null): void {
    if (!request.isPart) this.counters.count(request, status);
    request.sink.onIoDone(request, status, payload, slab);
  }
}

/** The engine of a pool as its options want it. It waits for legs. */
export function poolEngine(world: World, host: IoEngineHost, legs: readonly Leg[], options: PoolClientOptions): IoEngine {
  const { queueDepth = QUEUE_DEPTH_DEFAULT, legSlowFactor = SLOW_LEG_FACTOR_DEFAULT, legSlowForMs = SLOW_LEG_FOR_MS_DEFAULT } = options;
  const inFlight = new Int32Array(MEMBERS_MAX);
  const preferred = options.members.findIndex((member) => member.memberId === options.preferredMemberId);
  const readPolicy = new ReadPolicy(options.readPolicy ?? 'min-inflight', inFlight, Math.max(0, preferred));
  const engine = new IoEngine(world, host, legs, queueDepth, readPolicy, inFlight);
  engine.holdUps = new LegHoldUps({ slowFactor: legSlowFactor, slowForMs: legSlowForMs });
  return engine;
}

/** What the engine tells the pool client. */
export interface IoEngineHost {
  /** Another client was granted the pool (C3). */
  onFenced(): void;
  /** These legs must leave the in-sync set before anything that waits for them is acknowledged. */
  onLegsFailed(mask: number, reason: string): void;
  /** The legs in `candidates` that have the whole range clean. `candidates` itself if none has. */
  cleanLegs(offsetBytes: number, lengthBytes: number, candidates: number): number;
  /** Whether a member outside of the in-sync set has a part of the range clean, and no part of it is LOST (I8). */
  absentMayHave(offsetBytes: number, lengthBytes: number): boolean;
  /** W10: whether each chunk of the range is clean for one of the legs in the mask. */
  eachChunkClean(offsetBytes: number, lengthBytes: number, mask: number): boolean;
  /**
   * Reads chunk by chunk what no member could answer as a whole, and ends the read with the engine's `finish`. False: the read is of one
   * chunk.
   */
  readByChunks(request: IoRequest): boolean;
  /** I8: a read ends with an error, as the disks of all members that have the range failed to read it. */
  onUnreadable(offsetBytes: number, lengthBytes: number): void;
  /** A read has succeeded. */
  onRead(offsetBytes: number, lengthBytes: number): void;
  /**
   * A write has ended. `carriedOut`: the legs that have carried out all of it, as a mask. `missed`: a member has applied it, and the
   * members outside of the in-sync set lack it.
   */
  onWriteEnded(range: ByteRange, status: number, carriedOut: number, missed: boolean): void;
  /** Asks a member back at once that is out of the set and can be reached. False if there is none. */
  hastenReturn(): boolean;
  /** ◆8: whether a chunk that is not LOST is dirty for every in-sync member: its only clean copy may not be flushed. */
  flushMustWait(): boolean;
}
