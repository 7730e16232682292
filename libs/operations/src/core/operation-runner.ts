/**
 * Drives operations: each step after the record of it is durable, operations on one target one after the other, a bounded number side by
 * side. After a restart it goes on with what had not ended.
 */
import { assert, type Logger, OperationError, randomUuid, type Ticked, type World } from '@rmr/runtime';
import {
  isUnfinished,
  OPERATION_TRANSITIONS,
  type Operation,
  type OperationKind,
  type OperationProgress,
  type OperationRecord,
  type OperationState,
  type OperationStep,
  type StepContext,
  type StepEnd,
} from './operation.ts';

export class OperationRunner implements Ticked {
  readonly #options: OperationRunnerOptions;
  readonly #kinds = new Map<string, OperationKind>();
  /** By id, oldest first. */
  readonly #operations = new Map<string, Driven>();
  #stopped = false;

  constructor(options: OperationRunnerOptions) {
    this.#options = options;
    for (const kind of options.kinds) this.#kinds.set(kind.kind, kind as unknown as OperationKind);
    const entries = [...options.journal.entries].sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
    for (const record of entries) this.#operations.set(record.id, new Driven(record, record));
  }

  /** Goes on with what had not ended. */
  start(): void {
    this.#options.world.ticker.subscribe(this);
    this.#forgetOld();
    this.#fill();
  }

  /** Begins nothing any more. What is under way ends, or goes on after the next start. */
  stop(): void {
    this.#stopped = true;
    this.#options.world.ticker.unsubscribe(this);
  }

  /**
   * Takes an order. `done` is called once the operation is durable, with the operation; it goes on by itself. A request id that is known
   * gives the operation that it gave before. Errors: CONFLICT (another operation of this target has not ended), UNAVAILABLE (too many).
   */
  submit(request: OperationRequest, done: (result: Operation | OperationError) => void): void {
    assert(this.#kinds.has(request.kind), 'operation runner: the kind is known');
    for (const { record, view } of this.#operations.values()) {
      if (request.requestId !== null && record.requestId === request.requestId) {
        const isSame = record.kind === request.kind && JSON.stringify(record.input) === JSON.stringify(request.input);
        const sentence = `request ${request.requestId} was given for another operation (${record.kind} of ${record.targetName})`;
        done(isSame ? view : new OperationError('CONFLICT', sentence));
        return;
      }
    }
    const unfinished = [...this.#operations.values()].filter(({ record }) => isUnfinished(record.state));
    const other = unfinished.find(({ record }) => record.target === request.target);
    if (other !== undefined) {
      const { kind, targetName, id } = other.record;
      done(new OperationError('CONFLICT', `the operation ${kind} of ${targetName} (${id}) has not ended: wait for it, or cancel it`));
      return;
    }
    if (this.#stopped || unfinished.length >= UNFINISHED_MAX) {
      const why = this.#stopped ? 'this node stops' : `${UNFINISHED_MAX} operations have not ended: wait for some of them`;
      done(new OperationError('UNAVAILABLE', why));
      return;
    }
    const { clock, random } = this.#options.world;
    const nowMs = clock.wallMs();
    const driven = new Driven(
      {
        ...{ id: randomUuid(random), ...request, createdAtMs: nowMs, state: 'QUEUED', step: 0, error: null, cancelled: false },
        ...{ undoing: false, memory: {}, result: null, sinceMs: nowMs, endedAtMs: null },
      },
      null,
    );
    // From here on another order for the target is refused, although nothing is durable yet.
    this.#operations.set(driven.record.id, driven);
    driven.busy = true;
    driven.recording = true;
    const { record } = driven;
    this.#options.journal.record(record, (error) => {
      driven.busy = false;
      driven.recording = false;
      if (error !== null) {
        this.#operations.delete(record.id);
        // It may be in the journal all the same: the next process must not carry out what was refused.
        this.#forgetRefused(record.id);
        this.#answerWishes(driven, error);
        done(error);
        return;
      }
      driven.durable = record;
      this.#changed(driven);
      done(driven.view);
      this.#fill();
    });
  }

  /** Wants the end of an operation. CONFLICT: it has ended, or can't be cancelled any more. `done` is called once the wish is durable. */
  cancel(id: string, by: string, done: (result: Operation | OperationError) => void): void {
    const driven = this.#operations.get(id);
    if (driven === undefined) {
      done(new OperationError('NOT_FOUND', `there is no operation ${id}`));
      return;
    }
    const { record } = driven;
    const refusal = !isUnfinished(record.state)
      ? `it has ended (${record.state})`
      : record.undoing
        ? 'it is being undone already'
        : this.#tooLate(record);
    if (refusal !== null) {
      done(new OperationError('CONFLICT', `operation ${id} can't be cancelled: ${refusal}`));
      return;
    }
    if (driven.durable?.cancelled === true) {
      done(driven.view);
      return;
    }
    driven.wishes.push(done);
    if (!record.cancelled) {
      this.#options.world.log.info('an operation is to be cancelled', { operation: id, kind: record.kind, target: record.targetName, by });
      // It takes effect when the step that is under way has ended.
      driven.record = { ...record, cancelled: true };
      driven.retryAtMs = 0;
      // What is being recorded does not have the wish; what follows from that will.
      if (driven.busy && !driven.recording) this.#recordWish(driven);
    }
    this.#advance(driven);
  }

  /** Records that somebody wants the end of an operation, while a step of it goes on. */
  #recordWish(driven: Driven): void {
    const { record } = driven;
    this.#options.journal.record(record, (error) => {
      if (error !== null) {
        const sentence = `the cancellation could not be recorded, and counts only if this node goes on until it takes effect: ${error.message}`;
        this.#answerWishes(driven, new OperationError(error.code, sentence));
        return;
      }
      // A later record has it, too.
      if (driven.durable?.cancelled !== true) driven.durable = { ...(driven.durable ?? record), cancelled: true };
      this.#answerWishes(driven, null);
    });
  }

  #answerWishes(driven: Driven, error: OperationError | null): void {
    for (const done of driven.wishes.splice(0)) done(error ?? driven.view);
  }

  get(id: string): Operation | null {
    return this.#operations.get(id)?.view ?? null;
  }

  /** All operations, the newest first. */
  list(): readonly Operation[] {
    return Array.from(this.#operations.values(), ({ view }) => view).reverse();
  }

  tick(nowMs: number): void {
    for (const driven of this.#operations.values())
      if (driven.record.state === 'WAITING' && nowMs >= driven.retryAtMs) this.#advance(driven);
    this.#fill();
  }

  /** Rechecks the invariants. */
  verify(): void {
    const targets = new Set<string>();
    for (const { record } of this.#operations.values()) {
      if (!isUnfinished(record.state)) continue;
      assert(!targets.has(record.target), 'operation runner: one unfinished operation per target');
      targets.add(record.target);
    }
    assert(this.#running() <= RUNNING_MAX, 'operation runner: no more at a time than may be');
  }

  #running(): number {
    let running = 0;
    for (const { record } of this.#operations.values()) if (record.state === 'RUNNING' || record.state === 'WAITING') running++;
    return running;
  }

  /** Begins what is queued, and goes on with what a former process had begun. */
  #fill(): void {
    if (this.#stopped) return;
    let running = this.#running();
    for (const driven of this.#operations.values()) {
      if (driven.busy) continue;
      if (driven.record.state === 'RUNNING' || driven.record.cancelled) this.#advance(driven);
      else if (driven.record.state === 'QUEUED' && running < RUNNING_MAX) {
        running++;
        this.#advance(driven);
      }
    }
  }

  /** Makes the next record durable, then runs the step. */
  #advance(driven: Driven): void {
    if (driven.busy || this.#stopped || !isUnfinished(driven.record.state)) return;
    const kind = this.#kinds.get(driven.record.kind);
    if (kind === undefined) {
      this.#end(driven, 'FAILED', {
        code: 'UNSUPPORTED',
        sentence: `this version does not know operations of the kind ${driven.record.kind}`,
      });
      return;
    }
    const { record } = driven;
    // Whether it was too late was looked at when the wish came.
    if (record.cancelled && !record.undoing) {
      this.#cancelled(driven);
      return;
    }
    if (record.state === 'QUEUED') {
      this.#record(driven, { state: 'RUNNING' }, () => this.#advance(driven));
      return;
    }
    // One that waits still waits while its step looks again.
    this.#run(driven, kind);
  }

  #cancelled(driven: Driven): void {
    const error = { code: 'CONFLICT', sentence: 'it was cancelled' } as const;
    if (driven.record.state === 'QUEUED') this.#end(driven, 'CANCELLED', error);
    else this.#undo(driven, error);
  }

  #run(driven: Driven, kind: OperationKind): void {
    const { record, durable } = driven;
    const isRecorded = durable !== null && durable.step === record.step && durable.undoing === record.undoing && durable.state !== 'QUEUED';
    assert(isRecorded, 'journal first: the record of a step is durable before the step begins');
    const step = kind.steps[record.step];
    assert(step !== undefined, 'operation runner: the step is there');
    driven.busy = true;
    let isEnded = false;
    const context = this.#context(driven);
    const done = (end: StepEnd): void => {
      assert(!isEnded, 'operation runner: a step ends once');
      isEnded = true;
      driven.busy = false;
      if (!this.#stopped) this.#stepEnded(driven, kind, end);
    };
    if (!record.undoing) step.run(context, done);
    else if (step.undo === undefined) done({ end: 'done' });
    else step.undo(context, done);
  }

  #context(driven: Driven): StepContext<unknown> {
    return {
      input: driven.record.input,
      memory: driven.record.memory,
      remember: (patch) => {
        driven.record = { ...driven.record, memory: { ...driven.record.memory, ...patch } };
      },
      progress: (done, total, unit) => {
        driven.progress = { done, total, unit };
      },
    };
  }

  #stepEnded(driven: Driven, kind: OperationKind, end: StepEnd): void {
    const { record } = driven;
    switch (end.end) {
      case 'retry': {
        const { what, remedy, afterMs } = end;
        const sinceMs = driven.waitingFor?.what === what ? driven.waitingFor.sinceMs : this.#options.world.clock.wallMs();
        const isNews = driven.waitingFor?.what !== what;
        driven.waitingFor = { what, sinceMs, remedy };
        driven.retryAtMs = record.cancelled && !record.undoing ? 0 : this.#options.world.clock.nowMs() + afterMs;
        // The state is not worth a record: a restart runs the step again.
        driven.record = { ...record, state: 'WAITING' };
        if (isNews) this.#changed(driven);
        break;
      }
      case 'failed': {
        const error = { code: end.error.code, sentence: end.error.message };
        if (!record.undoing) {
          this.#undo(driven, error);
          break;
        }
        // What can't be undone is left as it is, and said, and the rest is undone: trying for ever would hold the target for ever.
        const sentence = `${record.error?.sentence ?? ''}; and the step "${kind.steps[record.step]?.name}" could not be undone: ${error.sentence}`;
        driven.record = { ...record, error: { code: record.error?.code ?? error.code, sentence } };
        this.#undone(driven);
        break;
      }
      case 'done':
        if (record.undoing) this.#undone(driven);
        else if (record.step + 1 < kind.steps.length && record.cancelled) this.#cancelled(driven);
        else if (record.step + 1 < kind.steps.length) this.#next(driven, { step: record.step + 1 });
        else this.#end(driven, 'SUCCEEDED', null, end.result ?? null);
        break;
    }
  }

  /** Goes to another step: once the record of it is durable, the step runs. */
  #next(driven: Driven, change: Partial<OperationRecord>): void {
    driven.progress = null;
    driven.waitingFor = null;
    this.#record(driven, { state: 'RUNNING', ...change }, () => this.#advance(driven));
  }

  #undo(driven: Driven, error: NonNullable<OperationRecord['error']>): void {
    const { record } = driven;
    this.#options.world.log.warn('an operation is undone', { ...fieldsOf(record), code: error.code, why: error.sentence });
    this.#next(driven, { undoing: true, error });
  }

  #undone(driven: Driven): void {
    const { record } = driven;
    if (record.step > 0) this.#next(driven, { step: record.step - 1 });
    else this.#endUndone(driven, record.error?.sentence ?? '');
  }

  #endUndone(driven: Driven, sentence: string): void {
    const { error, cancelled } = driven.record;
    this.#end(driven, cancelled ? 'CANCELLED' : 'FAILED', { code: error?.code ?? 'IO_ERROR', sentence });
  }

  #end(driven: Driven, state: OperationState, error: OperationRecord['error'], result: OperationRecord['result'] = null): void {
    driven.progress = null;
    driven.waitingFor = null;
    this.#record(driven, { state, error, result, endedAtMs: this.#options.world.clock.wallMs() }, () => {
      this.#forgetOld();
      this.#fill();
    });
  }

  /** Changes the record. `then` is called once that is durable; until then the change does not count, and it is tried again. */
  #record(driven: Driven, change: Partial<OperationRecord>, then: () => void): void {
    const { clock, log } = this.#options.world;
    const before = driven.record;
    const isNewState = change.state !== undefined && change.state !== before.state;
    if (isNewState) assert((change.state as string) in OPERATION_TRANSITIONS[before.state], 'operation runner: a legal transition');
    const record = { ...before, ...change, ...(isNewState ? { sinceMs: clock.wallMs() } : {}) };
    driven.busy = true;
    driven.recording = true;
    this.#options.journal.record(record, (error) => {
      driven.busy = false;
      if (error !== null) {
        log.error('an operation could not be recorded; it waits, and tries again', { ...fieldsOf(before), why: error.message });
        driven.waitingFor = {
          what: `its journal to be written: ${error.message}`,
          sinceMs: driven.waitingFor?.sinceMs ?? clock.wallMs(),
          remedy: 'Check the space and the disk of stateDir.',
        };
        driven.busy = true;
        this.#retryRecord(driven, change, then);
        return;
      }
      driven.recording = false;
      driven.durable = record;
      // A wish to cancel may have come meanwhile.
      driven.record = { ...record, cancelled: driven.record.cancelled, memory: driven.record.memory };
      if (driven.waitingFor?.what.startsWith('its journal') === true) driven.waitingFor = null;
      this.#changed(driven);
      if (!isUnfinished(record.state) && !record.cancelled) {
        const sentence = `operation ${record.id} can't be cancelled: it has ended (${record.state})`;
        this.#answerWishes(driven, new OperationError('CONFLICT', sentence));
      } else if (record.cancelled) this.#answerWishes(driven, null);
      then();
    });
  }

  #retryRecord(driven: Driven, change: Partial<OperationRecord>, then: () => void): void {
    this.#later(() => this.#record(driven, change, then));
  }

  /** Tries something again that could not be made durable, unless the runner stops before. */
  #later(again: () => void): void {
    const { clock, ticker } = this.#options.world;
    const atMs = clock.nowMs() + RECORD_RETRY_MS;
    const waiting: Ticked = {
      tick: (nowMs) => {
        if (nowMs < atMs && !this.#stopped) return;
        ticker.unsubscribe(waiting);
        if (!this.#stopped) again();
      },
    };
    ticker.subscribe(waiting);
  }

  #forgetRefused(id: string): void {
    this.#options.journal.forget(id, (error) => {
      if (error === null) return;
      this.#options.world.log.warn('an operation that was refused could not be forgotten', { operation: id, why: error.message });
      this.#later(() => this.#forgetRefused(id));
    });
  }

  #tooLate(record: OperationRecord): string | null {
    const steps = this.#kinds.get(record.kind)?.steps ?? [];
    if (record.state === 'QUEUED') return null;
    return steps.slice(0, record.step + 1).find((step) => step.tooLate !== undefined)?.tooLate ?? null;
  }

  #changed(driven: Driven): void {
    const { record, waitingFor } = driven;
    const { log } = this.#options.world;
    const step = this.#stepOf(record);
    const fields = { ...fieldsOf(record), state: record.state, step: step?.name };
    if (record.state === 'FAILED') log.error('operation', { ...fields, code: record.error?.code, why: record.error?.sentence });
    else log.info('operation', { ...fields, waitingFor: waitingFor?.what });
    this.#options.onChange?.(driven.view);
  }

  /** The step that an operation is at. */
  #stepOf(record: OperationRecord): OperationStep<unknown> | undefined {
    return this.#kinds.get(record.kind)?.steps[record.step];
  }

  /** What an operation does, or did last, for people; and how many steps it has. */
  stepText(record: OperationRecord): { readonly sentence: string; readonly steps: number } {
    const steps = this.#kinds.get(record.kind)?.steps ?? [];
    const sentence = steps[record.step]?.sentence ?? record.kind;
    return { sentence: record.undoing && isUnfinished(record.state) ? `undoes: ${sentence}` : sentence, steps: steps.length };
  }

  #forgetOld(): void {
    const ended = [...this.#operations.values()].filter(({ record }) => !isUnfinished(record.state));
    for (const { record } of ended.slice(0, Math.max(0, ended.length - HISTORY_MAX))) {
      this.#operations.delete(record.id);
      this.#options.journal.forget(record.id, (error) => {
        // It is forgotten after the next start.
        if (error !== null)
          this.#options.world.log.warn('an old operation could not be forgotten', { operation: record.id, why: error.message });
      });
    }
  }
}

/** Operations that run or wait at a time. Others are queued. */
export const RUNNING_MAX = 8;
/** Operations that are queued or run: more would mean a program that asks without end. */
export const UNFINISHED_MAX = 256;
/** Ended operations that are kept, the newest. */
export const HISTORY_MAX = 1_000;
/** How soon a record that could not be made durable is tried again, in milliseconds. */
const RECORD_RETRY_MS = 1_000;

/**
 * Where operations are kept. `done` is called once the change is durable, or has failed, and not from within the call. Changes of one
 * operation take effect in the order in which they were asked for. After one that has failed the operation is as before, or as wanted.
 */
export interface OperationJournal {
  /** All that is kept, in no order. */
  readonly entries: readonly OperationRecord[];
  record(operation: OperationRecord, done: (error: OperationError | null) => void): void;
  forget(id: string, done: (error: OperationError | null) => void): void;
}

/** What an operation is asked for with. */
export interface OperationRequest {
  readonly kind: string;
  readonly target: string;
  readonly targetName: string;
  readonly requestedBy: string;
  readonly requestId: string | null;
  readonly input: unknown;
}

export interface OperationRunnerOptions {
  readonly world: Pick<World, 'clock' | 'ticker' | 'random'> & { readonly log: Logger };
  readonly journal: OperationJournal;
  readonly kinds: readonly OperationKind<never>[];
  /** Told of every change of an operation: its state, its step, what it waits for. Not of mere progress. */
  readonly onChange?: (operation: Operation) => void;
}

/** An operation of this process. */
class Driven {
  record: OperationRecord;
  progress: OperationProgress | null = null;
  waitingFor: Operation['waitingFor'] = null;
  /** What is known to be in the journal. Null: nothing yet. */
  durable: OperationRecord | null;
  /** A step, or a record, is under way. */
  busy = false;
  /** A record is under way, or is to be tried again. */
  recording = false;
  /** Those that want its end, and were not answered yet. */
  wishes: ((result: Operation | OperationError) => void)[] = [];
  /** When the step is run again, in clock milliseconds. */
  retryAtMs = 0;

  constructor(record: OperationRecord, durable: OperationRecord | null) {
    this.record = record;
    this.durable = durable;
  }

  get view(): Operation {
    return { ...this.record, progress: this.progress, waitingFor: this.waitingFor };
  }
}

function fieldsOf({ id, kind, target, targetName }: OperationRecord): Record<string, string> {
  return { operation: id, kind, target, name: targetName };
}
