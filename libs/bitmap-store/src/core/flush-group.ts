import { assert, type Disk, type DiskSink, type Turn, type TurnTask } from '@rmr/runtime';

/**
 * Lets concurrent flush requests share disk flushes. A request is covered by a disk flush that began after it; one
 * disk flush runs at a time.
 */
export class FlushGroup implements DiskSink, TurnTask {
  turnQueued = false;
  readonly #disk: Disk;
  readonly #turn: Turn;
  readonly #observer: FlushObserver;
  #waitingTags: number[] = [];
  #waitingSinks: DiskSink[] = [];
  #waitingInternal: boolean[] = [];
  #coveredTags: number[] = [];
  #coveredSinks: DiskSink[] = [];
  #coveredInternal: boolean[] = [];
  #failedTags: number[] = [];
  #failedSinks: DiskSink[] = [];
  #failedStatus = 0;
  #running = false;
  /** Disk flushes so far. */
  flushCount = 0;
  /** Those of them that failed. */
  failureCount = 0;

  constructor(disk: Disk, turn: Turn, observer: FlushObserver) {
    this.#disk = disk;
    this.#turn = turn;
    this.#observer = observer;
  }

  /** True while a disk flush runs or somebody waits for one. */
  get busy(): boolean {
    return this.#running || this.#waitingTags.length > 0 || this.#failedTags.length > 0;
  }

  /** Asks for a disk flush that begins after this call. `internal` requests are told of a failure at once. */
  request(tag: number, sink: DiskSink, internal: boolean): void {
    this.#waitingTags.push(tag);
    this.#waitingSinks.push(sink);
    this.#waitingInternal.push(internal);
    if (!this.#running) this.#turn.defer(this);
  }

  runAtTurnEnd(): void {
    if (this.#running || this.#waitingTags.length === 0) return;
    assert(this.#coveredTags.length === 0, 'flush group: the last flush was answered');
    const tags = this.#coveredTags;
    const sinks = this.#coveredSinks;
    const internal = this.#coveredInternal;
    this.#coveredTags = this.#waitingTags;
    this.#coveredSinks = this.#waitingSinks;
    this.#coveredInternal = this.#waitingInternal;
    this.#waitingTags = tags;
    this.#waitingSinks = sinks;
    this.#waitingInternal = internal;
    this.#running = true;
    this.flushCount++;
    this.#observer.onFlushBegins();
    this.#disk.flush(0, this);
    this.#disk.submit();
  }

  onDiskDone(_tag: number, status: number): void {
    assert(this.#running, 'flush group: a flush was running');
    this.#running = false;
    const tags = this.#coveredTags;
    const sinks = this.#coveredSinks;
    const internal = this.#coveredInternal;
    if (status !== 0) {
      this.failureCount++;
      this.#failedStatus = status;
      for (let i = 0; i < tags.length; i++) {
        if (internal[i] === true) continue;
        this.#failedTags.push(tags[i] as number);
        this.#failedSinks.push(sinks[i] as DiskSink);
      }
    }
    this.#observer.onFlushEnds(status);
    // Requests made from here on go to the waiting lists: the covered ones are complete.
    for (let i = 0; i < tags.length; i++) {
      if (status === 0 || internal[i] === true) (sinks[i] as DiskSink).onDiskDone(tags[i] as number, status);
    }
    tags.length = 0;
    sinks.length = 0;
    internal.length = 0;
    if (this.#waitingTags.length > 0) this.#turn.defer(this);
  }

  /** Tells those whose flush failed: the failure has been recorded, or can't be. */
  answerFailed(): void {
    const tags = this.#failedTags;
    const sinks = this.#failedSinks;
    this.#failedTags = [];
    this.#failedSinks = [];
    for (let i = 0; i < tags.length; i++) (sinks[i] as DiskSink).onDiskDone(tags[i] as number, this.#failedStatus);
  }

  verify(): void {
    assert(this.#waitingTags.length === this.#waitingSinks.length, 'flush group: every tag has a sink');
    assert(this.#waitingTags.length === this.#waitingInternal.length, 'flush group: every tag has a kind');
    assert(this.#running || this.#coveredTags.length === 0, 'flush group: nothing is covered by no flush');
  }
}

/** What a flush group tells its owner. */
export interface FlushObserver {
  /** A disk flush begins. */
  onFlushBegins(): void;
  /**
   * It has ended; those it covers are told next. When `status` is an error, only internal requests are told at once;
   * the others wait for {@link FlushGroup.answerFailed}.
   */
  onFlushEnds(status: number): void;
}
