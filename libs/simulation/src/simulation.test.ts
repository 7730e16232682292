import { expect, test } from 'vitest';
import { SectorModel } from './sector-model.ts';
import { simulate } from './simulation.ts';

/** Seeds that are run every time; fresh ones are for `npm run sim`. */
const SEEDS = [1, 8, 16, 21, 46, 59, 12307, 20142, 363728732];
const TIMEOUT_MS = 300_000;

test.each(SEEDS)(
  'seed %i: no acknowledged byte is lost, no block flips, and the pool serves again when faults stop',
  (seed) => {
    const result = simulate(seed);
    expect(result.failure === null ? null : `seed ${seed}: ${result.failure}\n${result.log.split('\n').slice(-80).join('\n')}`).toBeNull();
    expect(result.operations).toBeGreaterThan(10);
  },
  TIMEOUT_MS,
);

test.each([
  ['a read of what only a member has that is coming back waits until that one can be read from', 70],
  ['what this client has sent to a member that comes back is not suspect: it may be the last copy that can be read', 9],
])(
  'I8: %s',
  (_what, seed) => {
    const result = simulate(seed, { faults: ['bad sectors', 'client crash', 'wall clock jump'] });
    expect(result.failure === null ? null : `${result.failure}\n${result.log.split('\n').slice(-80).join('\n')}`).toBeNull();
    expect(result.operations).toBeGreaterThan(10);
  },
  TIMEOUT_MS,
);

test(
  'the same seed gives the same run',
  () => {
    const { events, operations, virtualMs } = simulate(6);
    expect(simulate(6)).toMatchObject({ events, operations, virtualMs });
  },
  TIMEOUT_MS,
);

test('the model finds a lost write, a flip, an old value and a write that was never made', () => {
  const cases: [string, (model: SectorModel) => void][] = [
    [
      'was overwritten',
      (model) => {
        model.writeBegins(0, 1, 1, 0);
        model.writeEnds(0, 1, 1, 0, 10, false);
        model.read(0, 0, 11, 12);
      },
    ],
    [
      'was overwritten',
      (model) => {
        // Not acknowledged, seen, and gone again.
        model.writeBegins(0, 1, 1, 0);
        model.writeFails(0, 1, 1, 0, 10);
        model.read(0, 1, 11, 12);
        model.read(0, 0, 13, 14);
      },
    ],
    [
      'was overwritten',
      (model) => {
        // Not acknowledged, not seen, and there after all.
        model.writeBegins(0, 1, 1, 0);
        model.writeFails(0, 1, 1, 0, 10);
        model.read(0, 0, 11, 12);
        model.read(0, 1, 13, 14);
      },
    ],
    ['never written', (model) => model.read(0, 7, 0, 1)],
    [
      'never written',
      (model) => {
        // Dropped before it began (W9), and carried out after all.
        model.writeBegins(0, 1, 1, 0);
        model.writeDropped(0, 1, 1, 0, 2);
        model.read(0, 1, 3, 4);
      },
    ],
    [
      'was overwritten',
      (model) => {
        // Flushed, so that losing power brings nothing older back.
        model.writeBegins(0, 1, 1, 0);
        model.writeEnds(0, 1, 1, 0, 10, false);
        model.flushEnds(11);
        model.volatileLost(0, 1, 13);
        model.read(0, 0, 14, 15);
      },
    ],
  ];
  for (const [what, run] of cases) {
    const model = new SectorModel(1);
    run(model);
    expect(model.violation).toContain(what);
  }
});

test('the model allows both outcomes of a write that was not acknowledged, and what was not flushed to be lost with power', () => {
  for (const stamp of [0, 1]) {
    const model = new SectorModel(1);
    model.writeBegins(0, 1, 1, 0);
    model.writeFails(0, 1, 1, 0, 10);
    model.read(0, stamp, 11, 12);
    model.read(0, stamp, 13, 14);
    expect(model.violation).toBeNull();
    const unflushed = new SectorModel(1);
    unflushed.writeBegins(0, 1, 1, 0);
    unflushed.writeEnds(0, 1, 1, 0, 10, false);
    unflushed.volatileLost(0, 1, 11);
    unflushed.read(0, stamp, 12, 13);
    expect(unflushed.violation).toBeNull();
  }
});

test('a read that took long may have seen any of several zeroes: the model takes none of them for what came last', () => {
  const model = new SectorModel(1);
  const [WRITTEN, ZEROES] = [1, 0];
  // A read from 10 to 60, during which zeroes are written, then data, and zeroes are asked for once more.
  model.writeBegins(0, 1, ZEROES, 20);
  model.writeEnds(0, 1, ZEROES, 20, 30, false);
  model.writeBegins(0, 1, WRITTEN, 35);
  model.writeEnds(0, 1, WRITTEN, 35, 40, false);
  model.writeBegins(0, 1, ZEROES, 50);
  model.read(0, ZEROES, 10, 60);
  model.flushEnds(65);
  expect(model.afterPowerLoss(0)).toContain(WRITTEN);
  model.read(0, WRITTEN, 61, 70);
  expect(model.violation).toBeNull();
});

test('a flush that failed leaves what was written before it in doubt, also after a later flush; what is written since is not', () => {
  const model = new SectorModel(2);
  for (const sector of [0, 1]) {
    model.writeBegins(sector, 1, 1, 0);
    model.writeEnds(sector, 1, 1, 0, 10, false);
  }
  model.flushFails(20);
  model.writeBegins(1, 1, 2, 30);
  model.writeEnds(1, 1, 2, 30, 40, false);
  model.flushEnds(50);
  model.volatileLost(0, 2, 60);
  model.read(0, 0, 70, 80);
  expect(model.violation).toBeNull();
  model.read(1, 1, 70, 80);
  expect(model.violation).toContain('sector 1');
});

test('a power loss takes what was not flushed of the chunks that nobody else had, and of no others', () => {
  const model = new SectorModel(2);
  for (const sector of [0, 1]) {
    model.writeBegins(sector, 1, 1, 0);
    model.writeEnds(sector, 1, 1, 0, 10, false);
  }
  model.volatileLost(0, 1, 20);
  model.read(0, 0, 30, 40);
  expect(model.violation).toBeNull();
  model.read(1, 0, 30, 40);
  expect(model.violation).toContain('sector 1');
});

test('a forced pool may have anything that it ever had; what the first read says stays, until it is overwritten', () => {
  const model = new SectorModel(3);
  for (const stamp of [1, 2]) {
    model.writeBegins(0, 3, stamp, 20 * stamp);
    model.writeEnds(0, 3, stamp, 20 * stamp, 20 * stamp + 10, true);
  }
  model.forget();
  model.writeBegins(2, 1, 3, 100);
  model.writeEnds(2, 1, 3, 100, 110, false);
  model.read(0, 1, 120, 130);
  model.read(0, 1, 140, 150);
  model.read(2, 3, 140, 150);
  expect(model.violation).toBeNull();
  model.read(0, 2, 160, 170);
  expect(model.violation).toContain('sector 0');
  for (const stamp of [7, 3]) {
    const other = new SectorModel(1);
    other.forget();
    other.read(0, stamp, 10, 20);
    expect(other.violation).toContain('never written');
  }
});

test('a forced pool that loses power before it was flushed may have anything once more', () => {
  const model = new SectorModel(1);
  model.writeBegins(0, 1, 1, 0);
  model.writeEnds(0, 1, 1, 0, 10, true);
  model.forget();
  model.read(0, 1, 20, 30);
  model.volatileLost(0, 1, 40);
  model.read(0, 0, 50, 60);
  expect(model.violation).toBeNull();
  model.flushEnds(70);
  model.volatileLost(0, 1, 80);
  model.read(0, 1, 90, 100);
  expect(model.violation).toContain('sector 0');
});
