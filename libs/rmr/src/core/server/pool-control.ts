import { ChunkGrid, DirtyMap } from '@rmr/dirty-map';
import type { RtrsServerSession } from '@rmr/rtrs';
import { assert, Status, statusName, type World } from '@rmr/runtime';
import { AGE_FLUSHED_MS, AGE_UNFLUSHED_MS, READ_AGAIN_MS, READ_CHECK_MS, READ_CHECK_TRIES } from '../../constants.ts';
import type { ByteRange, MemberRecord, MetadataChange, PoolStore, PromiseRecord, StoreMark, VersionRecord } from '../../pool-store.ts';
import { mergeRanges } from '../../ranges.ts';
import { compareVersions, formatVersion, isInSync, sameVersion } from '../../version.ts';
import type {
  ClaimResult,
  ControlFailure,
  ControlRequest,
  ControlResult,
  HandoverWish,
  HeardMarks,
  ProbeResult,
  StorePast,
} from '../../wire/control-message.ts';
import { DISK_TEXT_MAX } from '../../wire/control-message.ts';
import { judgeAdds } from '../map-adds.ts';
import { applyLeaf, readLeaves } from '../map-leaves.ts';
import { CacheRewrite } from './chunks/cache-rewrite.ts';
import { ReadCheck } from './chunks/read-check.ts';
import { dirtyByBoth, type KnownColumn, knownColumns, unheardClears } from './chunks/unheard-clears.ts';
import type { UnreadableChunks } from './chunks/unreadable-chunks.ts';
import { Handover } from './handover.ts';
import type { Serving } from './serving.ts';
import type { SpaceWatch } from './space-watch.ts';

/**
 * What a client asks of a pool on a storage node besides IO, one request after the other: claims and versions, maps,
 * enabling and leaving.
 *
 * Kept here: C2 (a grant is a compare-and-set, after everything older was drained or discarded), C4, V1 (versions only
 * rise), V3 (a version brings whole maps into use, or none), V5 and I8 (the last clean copy stays), I9, L8 (the store becomes
 * older while it is written to, tells so, and remembers how old the others are).
 */
export class PoolControl {
  readonly #world: World;
  readonly #store: PoolStore;
  readonly #serving: Serving;
  readonly #host: ControlHost;
  readonly #queue: (() => void)[] = [];
  #busy = false;
  /** The store goes away. */
  #closing = false;
  /** Columns that the next version may bring into use. */
  readonly #handover = new Handover();
  readonly #staged = new Map<number, DirtyMap>();
  /**
   * L8: the age that is told. Not every record of the store raises it: members remember what others tell, and that is a
   * record too, which nobody has to hear of.
   */
  #toldAge: number;
  /** When a record was last made for the sake of the age or of marks, in clock milliseconds; and whether one is under way. */
  #agedAtMs = Number.NEGATIVE_INFINITY;
  #isAgeing = false;

  constructor(world: World, store: PoolStore, serving: Serving, host: ControlHost) {
    this.#world = world;
    this.#store = store;
    this.#serving = serving;
    this.#host = host;
    this.#toldAge = store.age;
  }

  /** Behind the request at hand, which may be draining and have something to record, `drain` is called; nothing is carried out after it. */
  close(drain: () => void): void {
    this.#closing = true;
    this.#queue.push(drain);
    this.#next();
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    assert(this.#busy || this.#queue.length === 0, 'pool control: a request waits behind none');
    assert(this.#toldAge <= this.#store.age, 'L8: a store told that it is older than it durably is');
    const { chunkCount } = ChunkGrid.of(this.#store.identity);
    for (const map of this.#staged.values()) {
      assert(map.chunkCount === chunkCount, 'V3: a staged map of another size');
      map.verify();
    }
  }

  /** Columns that were handed over are worth nothing any more. */
  forgetStaged(): void {
    this.#staged.clear();
  }

  /** Carries out a control request; `done` is called once. */
  request(session: RtrsServerSession, request: ControlRequest, done: ControlDone): void {
    switch (request.op) {
      case 'probe':
        done(this.#probe(), null);
        return;
      case 'map-check':
        done(this.#mapCheck(request.fromLeaf), null);
        return;
      case 'ask-handover':
        done({ refusal: this.#handover.ask(request, this.#world.clock.nowMs()) }, null);
        return;
      case 'sync-join':
        done({ poolHandle: this.#host.handle, memberId: this.#store.identity.memberId, storeUuid: this.#store.identity.storeUuid }, null);
        return;
      default:
        break;
    }
    this.#queue.push(() => {
      const finished: ControlDone = (result, failure) => {
        this.#busy = false;
        done(result, failure);
        this.#next();
      };
      if (this.#closing) {
        finished(null, fail('UNKNOWN_POOL', 'the store of the pool is being taken away', null));
        return;
      }
      if (request.op === 'claim') {
        this.#claim(session, request, finished);
        return;
      }
      const stale = this.#notHolder(session, request.epoch);
      if (stale !== null) {
        finished(null, stale);
        return;
      }
      switch (request.op) {
        case 'record-version':
          this.#recordVersion(request, finished);
          break;
        case 'map-stage':
          this.#stage(request, finished);
          break;
        case 'map-read': {
          const { leaves, nextLeaf } = readLeaves(this.#store.dirtyMap(request.memberId), request.fromLeaf);
          finished({ stamp: null, leaves, nextLeaf }, null);
          break;
        }
        case 'read-check':
          this.#readCheck(request.ranges, finished);
          break;
        case 'map-add':
          this.#mapAdd(request, finished);
          break;
        case 'freeze':
          this.#serving.bouncing = true;
          this.#host.bounceWaiting();
          finished({}, null);
          break;
        case 'enable':
          this.#enable(request, finished);
          break;
        case 'renew':
          if (this.#serving.state === 'NORMAL' || this.#store.identity.witness === true) {
            // Answered before anything is recorded: a lease must not wait for a disk (I7). What other records vouch for is told.
            const { age, dataAge } = this.#store;
            if (this.#toldAge < dataAge && dataAge <= age) this.#toldAge = age;
            this.#handover.answered(request.handoverRefusal ?? '');
            finished({ mark: this.#mark(), ...this.#diskTrouble(), ...this.#handoverWish() }, null);
            this.#host.resolved(request.completedThrough);
            this.#ageAndRemember(request.marks);
          } else {
            finished(null, fail('BAD_STATE', `the pool is ${this.#serving.state} here: ${this.#serving.reason}`, this.#store.promise));
          }
          break;
        case 'age':
          this.#age(finished);
          break;
        case 'leave':
          this.#host.leaveIo(Status.ENOTNORMAL);
          if (this.#serving.state !== 'REGISTERED') this.#serving.setState('REGISTERED', 'the client took this member out of the pool');
          finished({}, null);
          break;
        case 'disable':
          this.#disable(finished);
          break;
        case 'release':
          this.#release(request.marks, finished);
          break;
      }
    });
    this.#next();
  }

  #next(): void {
    if (this.#busy) return;
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.#busy = true;
    next();
  }

  #probe(): ProbeResult {
    const { identity, features } = this.#store;
    const lacksSpace = this.#host.space.reasonToWait;
    return {
      ...(lacksSpace === null ? {} : { lacksSpace }),
      poolHandle: this.#host.handle,
      state: this.#serving.state,
      identity: { ...identity },
      features: { fastPunch: features.fastPunch, fastZero: features.fastZero, extents: features.extents },
      promise: this.#store.promise,
      version: copyVersion(this.#store.version),
      members: copyMembers(this.#store.members),
      policy: copyPolicy(this.#store.policy),
      volatileLost: this.#store.volatileLost,
      past: this.#past(),
      released: this.#store.released,
      missedBytes: this.#store.dirtyBytes(identity.memberId),
    };
  }

  /** L8: what the store shows of its past. */
  #past(): StorePast {
    return { age: this.#store.age, lives: this.#store.lives.map((life) => ({ ...life })) };
  }

  #mark(): StoreMark {
    const { lives } = this.#store;
    return { lifeUuid: (lives[lives.length - 1] as StorePast['lives'][number]).lifeUuid, age: this.#toldAge };
  }

  /** What the client's status is to say of the disk. */
  #diskTrouble(): { readonly disk?: string } {
    const disk = this.#host.diskTrouble();
    return disk === '' ? {} : { disk: disk.slice(0, DISK_TEXT_MAX) };
  }

  /** C4: what the client that is served is told of another one that asks for the pool. */
  #handoverWish(): { readonly asked?: HandoverWish } {
    const wish = this.#handover.wish(this.#store.promise?.clientInstance ?? '', this.#world.clock.nowMs());
    return wish === null ? {} : { asked: wish };
  }

  /** C2: a compare-and-set on (epoch, client instance), after everything of older epochs is drained or discarded. */
  #claim(session: RtrsServerSession, request: ControlRequest & { op: 'claim' }, done: ControlDone): void {
    const promise = this.#store.promise;
    const again = promise !== null && promise.epoch === request.epoch && promise.clientInstance === request.clientInstance;
    if (promise !== null && !again && request.epoch <= promise.epoch) {
      done(null, fail('STALE_EPOCH', `epoch ${promise.epoch} is promised to ${promise.clientName}`, promise));
      return;
    }
    if (promise !== null && this.#serving.holder !== null && promise.clientInstance !== request.clientInstance && !request.takeover) {
      // C4: a client that is alive is not robbed.
      done(null, fail('HELD', `the pool is served by ${promise.clientName}, which is alive`, promise));
      return;
    }
    // From here on nothing older is executed, also not what waits for its write intent.
    this.#host.leaveIo(Status.ESTALE);
    const why = `epoch ${request.epoch} claimed by ${request.clientName}`;
    if (this.#serving.state === 'NORMAL') this.#serving.setState('NO_IO', why);
    this.#host.drain(() => {
      const granted: PromiseRecord = { epoch: request.epoch, clientInstance: request.clientInstance, clientName: request.clientName };
      this.#store.commit({ promise: granted }, (status) => {
        if (status !== Status.OK) {
          done(null, fail('STORE_ERROR', `the promise could not be recorded (${statusName(status)})`, this.#store.promise));
          return;
        }
        if (this.#serving.state === 'REGISTERED') this.#serving.setState(this.#store.version === null ? 'CREATED' : 'NO_IO', why);
        else if (this.#serving.state === 'CREATED' && this.#store.version !== null) this.#serving.setState('NO_IO', why);
        if (session.state === 'OPEN') {
          this.#serving.holder = session;
          this.#serving.epoch = request.epoch;
          this.#handover.settled();
        }
        this.#serving.versionSeq = 0;
        this.#serving.horizon = 0;
        this.#serving.erased.clear();
        this.#readAgain(() => this.#readCheck(this.#host.unreadable.takeSuspects(), () => this.#grant(done)));
      });
    });
  }

  #grant(done: ControlDone): void {
    const lastIo = this.#store.lastIo();
    this.#toldAge = this.#store.age;
    done(
      {
        version: copyVersion(this.#store.version),
        members: copyMembers(this.#store.members),
        policy: copyPolicy(this.#store.policy),
        volatileLost: this.#store.volatileLost,
        lastIo: lastIo.map(({ offsetBytes, lengthBytes }) => ({ offsetBytes, lengthBytes })),
        lastWriteSeq: lastIo.reduce((newest, { writeSeq }) => Math.max(newest, writeSeq), 0),
        intent: this.#store.intentRanges().map(({ offsetBytes, lengthBytes }) => ({ offsetBytes, lengthBytes })),
        unreadable: this.#host.unreadable.ranges(),
        columns: this.#store.mappedMemberIds().map((memberId) => {
          const map = this.#store.dirtyMap(memberId) as DirtyMap;
          return { memberId, dirtyChunks: map.dirtyCount, digest: map.digest() };
        }),
        past: this.#past(),
      },
      null,
    );
  }

  #recordVersion(request: ControlRequest & { op: 'record-version' }, done: ControlDone): void {
    const current = this.#store.version;
    const next: VersionRecord = request.version;
    const { memberId, storeUuid, witness } = this.#store.identity;
    const foreign = current !== null && current.lineageUuid !== next.lineageUuid;
    let wrong: string | null = null;
    if (next.epoch !== request.epoch) wrong = 'its epoch is not the promised one';
    else if (witness !== true && !isInSync(next, memberId, storeUuid)) wrong = 'this store is not in its in-sync set';
    else if (!request.members.some((member) => member.memberId === memberId && member.storeUuid === storeUuid))
      wrong = 'this store is not in its member table';
    else if (foreign && !request.newLineage) wrong = 'it is of another lineage';
    else if (current !== null && !foreign && compareVersions(next, current) < 0) wrong = `it is older than ${formatVersion(current)}`;
    else if (current !== null && !foreign && compareVersions(next, current) === 0 && !sameVersion(next, current))
      wrong = 'its sequence number was used for another set';
    else if (request.mapAdds.some((add) => add.memberIds.some((id) => next.inSync.some((member) => member.memberId === id))))
      wrong = 'I9: it marks chunks dirty for a member of its in-sync set';
    if (wrong !== null) {
      done(null, fail('BAD_VERSION', `version ${formatVersion(next)} is refused: ${wrong}`, null));
      return;
    }
    const { make, owed } = judgeAdds(this.#store, { members: request.members, inSync: next.inSync }, request.mapAdds);
    // The same record once more: the path failed over while it was being recorded.
    const again = current !== null && sameVersion(next, current);
    const dirtyReplace: KnownColumn[] = [];
    const known: KnownColumn[] = [];
    if (!again) {
      // I9: nothing becomes dirty for members that are in the set, as this one has been all along, and stay there.
      const isIn = (version: VersionRecord | null, id: number): boolean =>
        version?.inSync.some((member) => member.memberId === id) === true;
      const stays = (id: number): boolean => this.#serving.state === 'NORMAL' && isIn(current, id) && isIn(next, id);
      const told = request.mapKnown.filter(({ memberId: id }) => id !== memberId && (stays(id) || !isIn(next, id)));
      known.push(...knownColumns(this.#store, told));
      for (const { memberId: id, digest } of request.maps) {
        const staged = this.#staged.get(id);
        if (staged !== undefined && staged.digest() === digest) {
          const held = this.#store.dirtyMap(id);
          if (id === memberId || !stays(id)) dirtyReplace.push({ memberId: id, map: staged });
          else if (held !== null) dirtyReplace.push({ memberId: id, map: dirtyByBoth(held, staged) });
        } else if ((this.#store.dirtyMap(id) ?? this.#emptyMap()).digest() !== digest) {
          done(null, fail('BAD_MAP', `version ${formatVersion(next)}: the dirty map of member ${id} was not handed over whole`, null));
          return;
        }
      }
    }
    this.#staged.clear();
    const { members, policy, mapErase: dirtyErase } = request;
    const dirtyClear = unheardClears(this.#store, known);
    // I6: the id of a superseded addition is used again. So a member that is in the table is marked again when it misses a write.
    for (const id of dirtyErase) this.#serving.erased.add(id);
    for (const member of members) this.#serving.erased.delete(member.memberId);
    this.#host.versionRecording(true);
    this.#store.commit({ version: next, members, policy, dirtyErase, dirtyReplace, dirtyClear, dirtyAdd: make }, (status) => {
      this.#host.versionRecording(false);
      if (status !== Status.OK) {
        done(null, fail('STORE_ERROR', `the version could not be recorded (${statusName(status)})`, null));
        return;
      }
      assert(isTableOf(this.#store.members, members), 'V1: a version is recorded with its member table');
      if (this.#serving.epoch === request.epoch) {
        this.#serving.versionSeq = next.seq;
        this.#serving.horizon = next.horizon;
        this.#serving.bouncing = false;
        // R2 (◆21): pulls of the former version end here.
        if (this.#serving.state === 'NORMAL') this.#host.resyncStarts(next);
      }
      this.#world.log.info('version recorded', {
        pool: this.#store.identity.poolName,
        version: formatVersion(next),
        horizon: next.horizon,
      });
      this.#toldAge = this.#store.age;
      done({ owed, mark: this.#mark() }, null);
    });
  }

  #emptyMap(): DirtyMap {
    return new DirtyMap(ChunkGrid.of(this.#store.identity).chunkCount);
  }

  #stage(request: ControlRequest & { op: 'map-stage' }, done: ControlDone): void {
    let map = request.reset ? undefined : this.#staged.get(request.memberId);
    if (map === undefined && !request.reset) {
      done(null, fail('BAD_MAP', `no dirty map of member ${request.memberId} is being handed over`, null));
      return;
    }
    map ??= this.#emptyMap();
    for (const leaf of request.leaves) {
      const wrong = applyLeaf(map, leaf);
      if (wrong !== null) {
        done(null, fail('BAD_MAP', `the dirty map of member ${request.memberId}: ${wrong}`, null));
        return;
      }
    }
    this.#staged.set(request.memberId, map);
    done({}, null);
  }

  /** R3: what is clean here, stamped with the version that is served. */
  #mapCheck(fromLeaf: number): ControlResult {
    const version = this.#store.version;
    const { leaves, nextLeaf } = readLeaves(this.#store.dirtyMap(this.#store.identity.memberId), fromLeaf);
    const stamp = this.#serving.state === 'NORMAL' && version !== null ? { epoch: version.epoch, seq: version.seq } : null;
    return { stamp, leaves, nextLeaf };
  }

  /** I1: which of these chunks nobody should have to copy from here. */
  #readCheck(ranges: readonly ByteRange[], done: ControlDone): void {
    this.#read(ranges, this.#host.unreadable.ranges(), 1, READ_CHECK_MS, (failed) => done({ unreadable: mergeRanges(failed) }, null));
  }

  /**
   * I1: what the disk could not read is read again before a grant tells it. The error may have been one that goes away, and this
   * copy may be the last one that can be read.
   */
  #readAgain(done: () => void): void {
    const known = this.#host.unreadable.takeKnown();
    this.#read(known, known, READ_CHECK_TRIES, READ_AGAIN_MS, done);
  }

  #read(
    ranges: readonly ByteRange[],
    known: readonly ByteRange[],
    triesOfKnown: number,
    limitMs: number,
    done: (failed: readonly ByteRange[]) => void,
  ): void {
    const finished = (failed: readonly ByteRange[]): void => {
      for (const { offsetBytes, lengthBytes } of failed) this.#host.unreadable.note(offsetBytes, lengthBytes);
      done(failed);
    };
    const submitLater = (): void => this.#host.submitLater();
    if (!new ReadCheck(this.#world.clock, this.#store, ranges, known, triesOfKnown, submitLater, finished, limitMs).begin()) finished([]);
  }

  /** V5: adds that were owed. */
  #mapAdd(request: ControlRequest & { op: 'map-add' }, done: ControlDone): void {
    const version = this.#store.version;
    if (version === null || version.epoch !== request.epoch || version.seq !== request.versionSeq) {
      done(null, fail('BAD_VERSION', `version ${request.epoch}.${request.versionSeq} is not the one recorded here`, null));
      return;
    }
    if (request.add.memberIds.some((id) => version.inSync.some((member) => member.memberId === id))) {
      done(null, fail('BAD_VERSION', 'I9: a member of the in-sync set is not marked dirty', null));
      return;
    }
    const { make, owed } = judgeAdds(this.#store, { members: this.#store.members, inSync: version.inSync }, [request.add]);
    this.#store.commit({ dirtyAdd: make }, (status) => {
      if (status === Status.OK) done({ owed }, null);
      else done(null, fail('STORE_ERROR', `the dirty chunks could not be recorded (${statusName(status)})`, null));
    });
  }

  #enable(request: ControlRequest & { op: 'enable' }, done: ControlDone): void {
    const version = this.#store.version;
    if (version === null || version.epoch !== request.epoch || version.seq !== request.versionSeq) {
      done(null, fail('BAD_VERSION', `version ${request.epoch}.${request.versionSeq} is not recorded here`, null));
      return;
    }
    if (this.#store.identity.witness === true) {
      done(null, fail('BAD_STATE', 'a witness serves no IO', null));
      return;
    }
    if (this.#serving.state === 'NORMAL') {
      done({}, null);
      return;
    }
    // The version with its maps is durable on all members: `lastIo` and intent have done their work, once what they
    // stand for is on the disk.
    this.#flushAndForget((status) => {
      if (status !== Status.OK) {
        done(null, fail('STORE_ERROR', `the store could not be flushed (${statusName(status)})`, null));
        return;
      }
      if (this.#store.volatileLost) {
        done(null, fail('STORE_ERROR', 'a flush of the disk failed meanwhile', null));
        return;
      }
      if (this.#serving.epoch !== request.epoch) {
        done(null, fail('BAD_STATE', `epoch ${request.epoch} is not served any more`, this.#store.promise));
        return;
      }
      this.#serving.enabledSeq = version.seq;
      this.#serving.setState('NORMAL', `version ${formatVersion(version)} is durable on its in-sync set`);
      this.#host.space.enabled();
      this.#host.resyncStarts(version);
      done({}, null);
    });
  }

  /** L8: from now on the store is older than a copy that was made before what it has by now. */
  #age(done: ControlDone): void {
    this.#store.commit({ ages: true }, (status) => {
      if (status !== Status.OK) {
        done(null, fail('STORE_ERROR', `the age of the store could not be recorded (${statusName(status)})`, null));
        return;
      }
      this.#toldAge = this.#store.age;
      done({ mark: this.#mark() }, null);
    });
  }

  /** L8: while data changes, the store becomes older now and then; and what the others have become is remembered. */
  #ageAndRemember(marks: HeardMarks): void {
    const store = this.#store;
    const sinceMs = this.#world.clock.nowMs() - this.#agedAtMs;
    const hears = withMarks(store.members, marks) !== store.members;
    const ages = store.changedSinceAged && sinceMs >= (store.flushedSinceAged ? AGE_FLUSHED_MS : AGE_UNFLUSHED_MS);
    if (this.#isAgeing || this.#closing || !(ages || (hears && sinceMs >= AGE_FLUSHED_MS))) return;
    this.#isAgeing = true;
    this.#agedAtMs = this.#world.clock.nowMs();
    store.commit({ ages: true, changeMembers: (members) => withMarks(members, marks) }, (status) => {
      this.#isAgeing = false;
      // A store that can't record is found by all else that it is asked for.
      if (status === Status.OK && ages) this.#toldAge = Math.max(this.#toldAge, store.age);
    });
  }

  /** Makes everything durable and records, with `change`, that `lastIo` and the write intent are not needed any more. */
  #flushAndForget(done: (status: number) => void, change: MetadataChange = {}): void {
    const rewritten = (status: number): void => {
      if (status === Status.OK) this.#flush(done, change);
      else done(status);
    };
    if (!this.#store.cacheDoubtful || !new CacheRewrite(this.#store, () => this.#host.submitLater(), rewritten).begin())
      this.#flush(done, change);
  }

  #flush(done: (status: number) => void, change: MetadataChange): void {
    this.#store.flush(0, {
      onDiskDone: (_tag, status) => {
        if (status === Status.OK) this.#store.commit({ ...change, reconciled: true }, done);
        else this.#store.commit({ volatileLost: true }, () => done(status));
      },
    });
    this.#host.submitLater();
  }

  #disable(done: ControlDone): void {
    // Only writes that were sent before may still be executing; they may end, no other comes.
    this.#host.leaveIo(Status.ENOTNORMAL);
    if (this.#serving.state === 'NORMAL') this.#serving.setState('NO_IO', 'the client took this member out of the in-sync set');
    done({}, null);
  }

  /** The client ends in order. What it says about durability is not taken on trust: the flush is made here. */
  #release(marks: HeardMarks, done: ControlDone): void {
    this.#host.leaveIo(Status.ENOTNORMAL);
    if (this.#serving.state === 'NORMAL') this.#serving.setState('NO_IO', 'released by the client');
    const released = (status: number): void => {
      if (status !== Status.OK) {
        done(null, fail('STORE_ERROR', `the release could not be recorded (${statusName(status)})`, null));
        return;
      }
      if (this.#serving.state !== 'REGISTERED') this.#serving.setState('REGISTERED', 'released by the client');
      done({}, null);
    };
    this.#host.drain(() => this.#flushAndForget(released, { released: true, changeMembers: (members) => withMarks(members, marks) }));
  }

  #notHolder(session: RtrsServerSession, epoch: number): ControlFailure | null {
    if (this.#serving.holder === session && this.#serving.epoch === epoch) return null;
    const promise = this.#store.promise;
    const holder = promise === null ? 'nobody' : `epoch ${promise.epoch} of ${promise.clientName}`;
    const code = promise !== null && promise.epoch > epoch ? 'STALE_EPOCH' : 'BAD_STATE';
    return fail(code, `epoch ${epoch} is not served here; the promise is held by ${holder}`, promise);
  }
}

/** The outcome of a control request. */
export type ControlDone = (result: ControlResult | null, failure: ControlFailure | null) => void;

function fail(code: ControlFailure['code'], message: string, promise: PromiseRecord | null): ControlFailure {
  return { code, message, promise };
}

function copyVersion(version: VersionRecord | null): ProbeResult['version'] {
  return version === null ? null : { ...version, inSync: version.inSync.map((member) => ({ ...member })) };
}

function copyPolicy(policy: PoolStore['policy']): ClaimResult['policy'] {
  return { ...policy, formerLineages: [...policy.formerLineages] };
}

/** What a version says of a member: all but what was heard of its store meanwhile. */
function described({ memberId, storeUuid, name, addresses, role, maintenance, left, joined, anew }: MemberRecord): string {
  return JSON.stringify([memberId, storeUuid, name, addresses, role === 'witness', maintenance === true, left, joined, anew]);
}

/** Whether the recorded table is the one that came with a version, whatever was heard of stores meanwhile. */
function isTableOf(members: readonly MemberRecord[], given: readonly MemberRecord[]): boolean {
  return members.length === given.length && members.every((member, index) => described(member) === described(given[index] as MemberRecord));
}

/** The table with these marks in it; the same array where they say nothing new. */
function withMarks(members: readonly MemberRecord[], marks: HeardMarks): readonly MemberRecord[] {
  const heard = (member: MemberRecord): HeardMarks[number] | undefined =>
    marks.find(
      ({ memberId, storeUuid, seen }) =>
        memberId === member.memberId &&
        storeUuid === member.storeUuid &&
        // What was heard before a store was accepted anew says nothing of it (L8). Its first mark comes with the version that it joins.
        (member.anew === undefined || member.seen !== undefined) &&
        (seen.lifeUuid !== member.seen?.lifeUuid || seen.age > member.seen.age),
    );
  return members.some((member) => heard(member) !== undefined)
    ? members.map((member) => ({ ...member, seen: heard(member)?.seen ?? member.seen }))
    : members;
}

function copyMembers(members: PoolStore['members']): ClaimResult['members'] {
  return members.map((member) => ({ ...member, addresses: [...member.addresses] }));
}

/** What control requests need from the pool's IO. */
export interface ControlHost {
  readonly handle: number;
  /** Nothing new is executed; what waits for chunks ends with `status`. */
  leaveIo(status: number): void;
  /** Calls back when nothing that came before is executing any more. */
  drain(done: () => void): void;
  /** Gives back what waits for chunks (L4). */
  bounceWaiting(): void;
  resyncStarts(version: VersionRecord): void;
  /** Chunks in which the disk could not read something. */
  readonly unreadable: UnreadableChunks;
  readonly space: SpaceWatch;
  /** What is wrong with the disk, without a subject; empty: nothing that is known here. */
  diskTrouble(): string;
  /** A version is on its way to the store, or has got there: meanwhile no clear of the former version counts (◆22). */
  versionRecording(recording: boolean): void;
  /** All writes of the client up to this one are resolved (W7). */
  resolved(completedThrough: number): void;
  /** What the store was asked for is handed to the disk at the end of the turn. */
  submitLater(): void;
}
