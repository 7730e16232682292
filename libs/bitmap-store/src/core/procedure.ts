import { assert, type Disk, type DiskSink } from '@rmr/runtime';

/** Runs a procedure to its end. */
export class ProcedureRun<Result> implements DiskSink {
  readonly #target: StepTarget;
  readonly #procedure: Procedure<Result>;
  readonly #done: (result: Result) => void;
  #stepping = false;
  /** A status that arrived while the request was being made. */
  #early = -1;

  constructor(target: StepTarget, procedure: Procedure<Result>, done: (result: Result) => void) {
    this.#target = target;
    this.#procedure = procedure;
    this.#done = done;
    this.#step(0);
  }

  onDiskDone(_tag: number, status: number): void {
    if (this.#stepping) {
      assert(this.#early === -1, 'procedure: one request at a time');
      this.#early = status;
      return;
    }
    this.#step(status);
  }

  #step(status: number): void {
    let resumeWith = status;
    this.#stepping = true;
    for (;;) {
      const next = this.#procedure.next(resumeWith);
      if (next.done === true) {
        this.#stepping = false;
        this.#done(next.value);
        return;
      }
      this.#early = -1;
      this.#request(next.value);
      this.#target.submit();
      if (this.#early === -1) break;
      resumeWith = this.#early;
    }
    this.#stepping = false;
  }

  #request(step: DiskStep): void {
    switch (step.kind) {
      case 'read':
        this.#target.read(step.offsetBytes, step.target, 0, this);
        break;
      case 'write':
        this.#target.write(step.offsetBytes, step.source, 0, this);
        break;
      case 'zero':
        this.#target.zero(step.offsetBytes, step.lengthBytes, 0, this);
        break;
      case 'punch':
        this.#target.punch(step.offsetBytes, step.lengthBytes, 0, this);
        break;
      case 'allocate':
        this.#target.allocate(step.offsetBytes, step.lengthBytes, 0, this);
        break;
      case 'flush':
        this.#target.flush(0, this);
        break;
    }
  }
}

/** One disk request of a procedure. */
export type DiskStep =
  | { readonly kind: 'read'; readonly offsetBytes: number; readonly target: Uint8Array }
  | { readonly kind: 'write'; readonly offsetBytes: number; readonly source: Uint8Array }
  | { readonly kind: 'zero' | 'punch' | 'allocate'; readonly offsetBytes: number; readonly lengthBytes: number }
  | { readonly kind: 'flush' };

/**
 * Something that takes several disk requests, one after the other (control path only): a generator that yields
 * requests and is resumed with their status. It runs without promises, and so in step with virtual time.
 */
export type Procedure<Result> = Generator<DiskStep, Result, number>;

export const FLUSH_STEP: DiskStep = { kind: 'flush' };

/** Where a procedure's requests go: a disk, or what stands in front of it. */
export type StepTarget = Pick<Disk, 'read' | 'write' | 'zero' | 'punch' | 'allocate' | 'flush' | 'submit'>;
