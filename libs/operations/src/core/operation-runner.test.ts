import { OperationError } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { isUnfinished, type Operation, type OperationKind, type OperationRecord, type StepContext, type StepEnd } from './operation.ts';
import { HISTORY_MAX, type OperationRequest, OperationRunner, RUNNING_MAX } from './operation-runner.ts';

/** What survives a crash: the journal, and what the steps have done to the world. */
class Durable {
  readonly journal = new Map<string, OperationRecord>();
  readonly done = new Set<string>();
  /** What was done, in order, as often as it was done. */
  readonly actions: string[] = [];
}

type Input = { readonly name: string; readonly fails?: string; readonly waits?: string; readonly undoFails?: string };

/** One process: it dies at its `crashAt`th action, before it happens; at a half, after it has happened and before anybody is told. */
class Process {
  readonly runner: OperationRunner;
  readonly changes: string[] = [];
  readonly #world: VirtualWorld;
  readonly #crashAt: number;
  actions = 0;
  dead = false;
  journalFails = 0;
  /** A record that fails is there all the same. */
  failsHeld = false;
  /** Steps that wait go on. */
  released = false;

  constructor(world: VirtualWorld, durable: Durable, crashAt = Number.POSITIVE_INFINITY) {
    this.#world = world;
    this.#crashAt = crashAt;
    const step = (name: string, tooLate?: string): OperationKind<Input>['steps'][number] => ({
      name,
      sentence: `does ${name}`,
      ...(tooLate === undefined ? {} : { tooLate }),
      run: (context, done) => this.#step(durable, context, name, done),
      undo: (context, done) => {
        if (context.input.undoFails === name) {
          world.after(1, () => done({ end: 'failed', error: new OperationError('IO_ERROR', `the disk of ${name} is dead`) }));
          return;
        }
        this.#act(
          () => {
            // What is undone was recorded as a step first.
            expect(durable.journal.get(idOf(durable, context.input.name))?.undoing).toBe(true);
            durable.done.delete(`${context.input.name}/${name}`);
            durable.actions.push(`undo ${name}`);
          },
          () => done({ end: 'done' }),
        );
      },
    });
    const kinds: OperationKind<Input>[] = [
      { kind: 'three', steps: [step('a'), step('b'), step('c')] },
      { kind: 'late', steps: [step('a'), step('b', 'b can not be taken back'), step('c')] },
    ];
    this.runner = new OperationRunner({
      world,
      kinds: kinds as unknown as OperationKind<never>[],
      journal: {
        entries: [...durable.journal.values()],
        record: (record, done) => {
          if (this.journalFails > 0) {
            this.journalFails--;
            if (this.failsHeld) durable.journal.set(record.id, record);
            world.after(1, () => done(new OperationError('NO_SPACE', 'no space left')));
          } else
            this.#act(
              () => durable.journal.set(record.id, record),
              () => done(null),
            );
        },
        forget: (id, done) =>
          this.#act(
            () => durable.journal.delete(id),
            () => done(null),
          ),
      },
      onChange: ({ state, step: at, targetName }) => this.changes.push(`${targetName} ${state} ${at}`),
    });
    this.runner.start();
  }

  #step(durable: Durable, { input, memory, remember }: StepContext<Input>, name: string, done: (end: StepEnd) => void): void {
    const record = durable.journal.get(idOf(durable, input.name));
    // The invariant: the record of a step is durable before the step begins, with what it needs.
    expect(record).toMatchObject({ state: 'RUNNING', step: ['a', 'b', 'c'].indexOf(name), undoing: false });
    if (name === 'b') expect(record?.memory).toMatchObject({ drawn: expect.any(Number) });
    if (input.waits === name && !this.released) {
      this.#world.after(1, () => {
        if (!this.dead) done({ end: 'retry', what: 'somebody', remedy: 'Release it.', afterMs: 200 });
      });
      return;
    }
    if (input.fails === name) {
      this.#world.after(1, () => {
        if (!this.dead) done({ end: 'failed', error: new OperationError('NO_SPACE', `no space for ${name}`) });
      });
      return;
    }
    if (name === 'a') remember({ drawn: memory['drawn'] ?? this.#world.clock.nowMs() + 1 });
    this.#act(
      () => {
        durable.done.add(`${input.name}/${name}`);
        durable.actions.push(name);
      },
      () => done({ end: 'done', result: { last: name } }),
    );
  }

  #act(change: () => void, done: () => void): void {
    this.#world.after(1, () => {
      if (this.dead) return;
      this.actions++;
      this.dead = this.actions === this.#crashAt;
      if (this.dead) return;
      change();
      this.dead = this.actions === this.#crashAt - 0.5;
      if (!this.dead) done();
    });
  }

  die(): void {
    this.dead = true;
    this.runner.stop();
  }
}

function idOf(durable: Durable, name: string): string {
  return [...durable.journal.values()].reverse().find(({ targetName }) => targetName === name)?.id ?? '';
}

let world: VirtualWorld;
let durable: Durable;
beforeEach(() => {
  world = new VirtualWorld(1);
  durable = new Durable();
});

const request = (name: string, input: Partial<Input> = {}, kind = 'three'): OperationRequest => ({
  ...{ kind, target: `uuid-${name}`, targetName: name, requestedBy: 'alice', requestId: null },
  input: { name, ...input },
});

function submit(process: Process, order: OperationRequest): Operation | OperationError | undefined {
  let answer: Operation | OperationError | undefined;
  process.runner.submit(order, (result) => {
    answer = result;
  });
  world.run(5);
  process.runner.verify();
  return answer;
}

/** How an operation stands. */
function stand(process: Process, name: string): string {
  const operation = process.runner.list().find(({ targetName }) => targetName === name);
  return operation === undefined ? 'none' : operation.state;
}

describe('operations', () => {
  test('an operation runs its steps in order, and ends with the result of the last one', () => {
    const process = new Process(world, durable);
    const operation = submit(process, request('x'));
    expect(operation).toMatchObject({ state: expect.stringMatching(/QUEUED|RUNNING/), requestedBy: 'alice', targetName: 'x' });
    world.run(100);
    expect(process.runner.list()).toMatchObject([
      { state: 'SUCCEEDED', result: { last: 'c' }, endedAtMs: expect.any(Number), error: null },
    ]);
    expect(durable.actions).toEqual(['a', 'b', 'c']);
    expect(process.changes).toEqual(['x QUEUED 0', 'x RUNNING 0', 'x RUNNING 1', 'x RUNNING 2', 'x SUCCEEDED 2']);
  });

  const points = Array.from({ length: 18 }, (_, i) => 1 + i / 2);
  test.each(points)('a process that dies at action %d: the next one brings the operation to the end that it would have had', (at) => {
    const process = new Process(world, durable, at);
    submit(process, request('x'));
    world.run(100);
    process.runner.stop();
    const next = new Process(world, durable);
    world.run(200);
    // What was never durable was never promised.
    if (durable.journal.size === 0) expect([at < 1.5, durable.actions]).toEqual([true, []]);
    else {
      expect([stand(next, 'x'), [...durable.done].sort()]).toEqual(['SUCCEEDED', ['x/a', 'x/b', 'x/c']]);
      expect(durable.actions.join('')).toMatch(/^a+b+c+$/);
    }
  });

  test.each(Array.from({ length: 22 }, (_, i) => 1 + i / 2))(
    'a step fails, and the process dies at action %d: what was done is undone in the end, the last first',
    (at) => {
      const process = new Process(world, durable, at);
      submit(process, request('x', { fails: 'c' }));
      world.run(200);
      process.runner.stop();
      const next = new Process(world, durable);
      world.run(300);
      if (durable.journal.size === 0) return;
      expect([stand(next, 'x'), [...durable.done]]).toEqual(['FAILED', []]);
      expect(next.runner.list()[0]).toMatchObject({ error: { code: 'NO_SPACE', sentence: 'no space for c' } });
      expect(durable.actions.join(' ')).toMatch(/^(a )+(b )+(undo c )+(undo b ?)+( undo a)+$/);
    },
  );

  test('a step that can not be undone is said, and the others are undone', () => {
    const process = new Process(world, durable);
    submit(process, request('x', { fails: 'c', undoFails: 'b' }));
    world.run(300);
    expect([stand(process, 'x'), [...durable.done]]).toEqual(['FAILED', ['x/b']]);
    expect(process.runner.list()[0]?.error).toEqual({
      code: 'NO_SPACE',
      sentence: 'no space for c; and the step "b" could not be undone: the disk of b is dead',
    });
  });

  test('a step that waits says for what, since when and what helps, and goes on when it can, also after a restart', () => {
    const process = new Process(world, durable);
    submit(process, request('x', { waits: 'b' }));
    world.run(1000);
    const [waiting] = process.runner.list();
    expect(waiting).toMatchObject({ state: 'WAITING', step: 1, waitingFor: { what: 'somebody', remedy: 'Release it.' } });
    world.run(5000);
    expect(process.runner.list()[0]?.waitingFor?.sinceMs).toBe(waiting?.waitingFor?.sinceMs);
    // It is told once, however often it is tried.
    expect(process.changes.filter((change) => change.includes('WAITING'))).toEqual(['x WAITING 1']);
    process.die();
    const next = new Process(world, durable);
    world.run(1000);
    expect(stand(next, 'x')).toBe('WAITING');
    next.released = true;
    world.run(1000);
    expect(stand(next, 'x')).toBe('SUCCEEDED');
  });

  test('operations on one target come one after the other: a second order is refused with what it has to wait for', () => {
    const process = new Process(world, durable);
    submit(process, request('x', { waits: 'a' }));
    expect(submit(process, request('x'))).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringMatching(/^the operation three of x \(.*\) has not ended: wait for it, or cancel it$/),
    });
    process.released = true;
    world.run(1000);
    expect(submit(process, request('x'))).toMatchObject({ targetName: 'x' });
  });

  test('as many run at a time as may, and the others wait for their turn', () => {
    const process = new Process(world, durable);
    const names = Array.from({ length: RUNNING_MAX + 3 }, (_, i) => `v${i}`);
    for (const name of names) submit(process, request(name, { waits: 'b' }));
    world.run(1000);
    process.runner.verify();
    expect(names.map((name) => stand(process, name))).toEqual(names.map((_, i) => (i < RUNNING_MAX ? 'WAITING' : 'QUEUED')));
    process.released = true;
    world.run(2000);
    expect(names.map((name) => stand(process, name))).toEqual(names.map(() => 'SUCCEEDED'));
  });

  test('the same request gives the same operation, also after it has ended and after a restart', () => {
    const process = new Process(world, durable);
    const order = { ...request('x'), requestId: 'r1' };
    const first = submit(process, order) as Operation;
    expect((submit(process, order) as Operation).id).toBe(first.id);
    world.run(1000);
    process.die();
    const next = new Process(world, durable);
    expect(submit(next, order)).toMatchObject({ id: first.id, state: 'SUCCEEDED' });
    expect(submit(next, { ...request('y'), requestId: 'r1' })).toMatchObject({ code: 'CONFLICT' });
    expect(durable.actions).toEqual(['a', 'b', 'c']);
  });

  test('an operation that is cancelled is undone; one that has ended, or is past its point of no return, says so', () => {
    const process = new Process(world, durable);
    const cancel = (name: string): unknown => {
      let answer: unknown;
      process.runner.cancel(idOf(durable, name), 'bob', (result) => {
        answer = result;
      });
      world.run(100);
      return answer;
    };
    submit(process, request('x', { waits: 'b' }));
    world.run(100);
    expect(cancel('x')).toMatchObject({ cancelled: true });
    expect([stand(process, 'x'), [...durable.done]]).toEqual(['CANCELLED', []]);
    expect(cancel('x')).toMatchObject({ code: 'CONFLICT', message: expect.stringContaining('it has ended (CANCELLED)') });
    submit(process, request('y', { waits: 'c' }, 'late'));
    world.run(1000);
    expect(cancel('y')).toMatchObject({ code: 'CONFLICT', message: expect.stringContaining('b can not be taken back') });
    process.released = true;
    world.run(1000);
    expect(stand(process, 'y')).toBe('SUCCEEDED');
    expect(cancel('nobody')).toMatchObject({ code: 'NOT_FOUND' });
  });

  test.each(['three', 'late'].flatMap((kind) => Array.from({ length: 12 }, (_, ms) => [kind, ms] as const)))(
    'a cancellation of %s after %d ms that was answered counts, whenever the process dies after it',
    (kind, ms) => {
      for (let crashMs = 0; crashMs < 16; crashMs++) {
        durable = new Durable();
        world = new VirtualWorld(1);
        const process = new Process(world, durable);
        let answer: Operation | OperationError | undefined;
        process.runner.submit(request('x', {}, kind), () => {});
        world.run(ms);
        const id = idOf(durable, 'x');
        const isLast = durable.journal.get(id)?.step === 2;
        process.runner.cancel(id, 'bob', (result) => {
          answer = result;
        });
        for (let i = 0; i < crashMs && answer === undefined; i++) world.run(1);
        process.die();
        const next = new Process(world, durable);
        world.run(5000);
        if (answer === undefined) continue;
        if (answer instanceof OperationError) {
          expect(['NOT_FOUND', 'CONFLICT']).toContain(answer.code);
          continue;
        }
        const state = next.runner.get(id)?.state;
        expect([[...durable.done].length, state]).toEqual(isLast && state === 'SUCCEEDED' ? [3, state] : [0, 'CANCELLED']);
      }
    },
  );

  test.each(['three', 'late'])(
    'a cancellation of %s that was accepted is answered, and is carried out unless the last step was done by then',
    (kind) => {
      for (let ms = 2; ms < 12; ms++) {
        durable = new Durable();
        world = new VirtualWorld(1);
        const process = new Process(world, durable);
        process.runner.submit(request('x', {}, kind), () => {});
        world.run(ms);
        const id = idOf(durable, 'x');
        const isLast = durable.journal.get(id)?.step === 2;
        const answers: (Operation | OperationError)[] = [];
        for (const by of ['bob', 'eve']) process.runner.cancel(id, by, (result) => answers.push(result));
        world.run(5000);
        expect(answers).toHaveLength(2);
        const isRefused = answers.every((answer) => answer instanceof OperationError);
        const isDone = isLast && durable.done.size === 3;
        expect([ms, process.runner.get(id)?.state]).toEqual([ms, isRefused || isDone ? 'SUCCEEDED' : 'CANCELLED']);
        expect(durable.done.size).toBe(isRefused || isDone ? 3 : 0);
      }
    },
  );

  test('a cancellation in the step before the point of no return is carried out when that step has ended', () => {
    const process = new Process(world, durable);
    process.runner.submit(request('x', {}, 'late'), () => {});
    world.runUntil(() => durable.journal.get(idOf(durable, 'x'))?.state === 'RUNNING', 1000);
    process.runner.cancel(idOf(durable, 'x'), 'bob', () => {});
    world.run(5000);
    expect([stand(process, 'x'), durable.actions]).toEqual(['CANCELLED', ['a', 'undo a']]);
  });

  test('one that is queued is cancelled without taking a turn', () => {
    const process = new Process(world, durable);
    const names = Array.from({ length: RUNNING_MAX + 1 }, (_, i) => `v${i}`);
    for (const name of names) submit(process, request(name, { waits: 'b' }));
    world.run(1000);
    const last = idOf(durable, `v${RUNNING_MAX}`);
    process.runner.cancel(last, 'bob', () => {});
    for (let i = 0; i < 20; i++) {
      world.run(1);
      process.runner.verify();
    }
    expect([process.runner.get(last)?.state, durable.actions.filter((action) => action.startsWith('undo'))]).toEqual(['CANCELLED', []]);
  });

  test('what was refused because it could not be recorded does not come back with the next process', () => {
    const process = new Process(world, durable);
    process.journalFails = 1;
    process.failsHeld = true;
    expect(submit(process, request('x'))).toMatchObject({ code: 'NO_SPACE' });
    world.run(5000);
    process.die();
    const next = new Process(world, durable);
    world.run(5000);
    expect([stand(next, 'x'), durable.actions]).toEqual(['none', []]);
  });

  test('a journal that can not be written holds the operation up, which says so, and goes on by itself', () => {
    const process = new Process(world, durable);
    process.journalFails = 1;
    expect(submit(process, request('x'))).toMatchObject({ code: 'NO_SPACE' });
    expect(stand(process, 'x')).toBe('none');
    submit(process, request('x', { waits: 'a' }));
    world.run(1000);
    process.released = true;
    process.journalFails = 3;
    world.run(500);
    expect(process.runner.list()[0]).toMatchObject({
      step: 0,
      waitingFor: { what: expect.stringMatching(/^its journal to be written: no space left/), remedy: expect.stringContaining('stateDir') },
    });
    world.run(5000);
    expect([stand(process, 'x'), durable.actions]).toEqual(['SUCCEEDED', ['a', 'b', 'c']]);
  });

  test('a kind that this version does not know ends with that, and holds nothing up', () => {
    const process = new Process(world, durable);
    submit(process, request('x', { waits: 'a' }));
    process.die();
    const [record] = durable.journal.values();
    durable.journal.set(record?.id ?? '', { ...(record as OperationRecord), kind: 'from-the-future' });
    const next = new Process(world, durable);
    world.run(100);
    expect(next.runner.list()[0]).toMatchObject({ state: 'FAILED', error: { code: 'UNSUPPORTED' } });
  });

  test('the oldest of what has ended is forgotten', () => {
    for (let i = 0; i < HISTORY_MAX + 5; i++) {
      const record = { ...({} as OperationRecord), ...request(`v${i}`), id: `id-${i}`, createdAtMs: i, state: 'SUCCEEDED' as const };
      durable.journal.set(record.id, {
        ...record,
        step: 0,
        error: null,
        cancelled: false,
        undoing: false,
        memory: {},
        result: null,
        sinceMs: i,
        endedAtMs: i,
      });
    }
    const process = new Process(world, durable);
    world.run(1000);
    expect([durable.journal.size, durable.journal.has('id-4'), durable.journal.has('id-5')]).toEqual([HISTORY_MAX, false, true]);
    expect(process.runner.list()[0]?.id).toBe(`id-${HISTORY_MAX + 4}`);
    expect(process.runner.list().every(({ state }) => !isUnfinished(state))).toBe(true);
  });
});
