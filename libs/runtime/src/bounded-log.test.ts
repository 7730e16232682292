import { beforeEach, describe, expect, test } from 'vitest';
import { BoundedLog, KINDS_MAX, LINES_AT_ONCE, QUIET_MS } from './bounded-log.ts';
import type { LogFields, Logger } from './logger.ts';
import { SUMMARY_MS_MAX, SUMMARY_MS_MIN } from './repeats.ts';

interface Line {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields;
}

let nowMs: number;
let lines: Line[];
let bounded: BoundedLog;

function recorder(bindings: LogFields): Logger {
  const add =
    (level: string) =>
    (event: string, fields?: LogFields): void => {
      lines.push({ level, event, fields: { ...bindings, ...fields } });
    };
  return {
    debug: add('debug'),
    info: add('info'),
    warn: add('warn'),
    error: add('error'),
    child: (fields) => recorder({ ...bindings, ...fields }),
  };
}

/** Lets time pass as a daemon does: the summaries are looked after every five seconds. */
function pass(ms: number, each: () => void = () => {}): void {
  for (const endMs = nowMs + ms; nowMs < endMs; ) {
    nowMs += 5_000;
    each();
    bounded.tick();
  }
}

beforeEach(() => {
  nowMs = 1_000;
  lines = [];
  bounded = new BoundedLog(recorder({}), { nowMs: () => nowMs, wallMs: () => nowMs });
});

describe('a log that is bounded', () => {
  test('the first lines of a kind are written as they come, with their fields and their level', () => {
    for (let i = 0; i < LINES_AT_ONCE; i++) bounded.log.error('broken', { client: 'a', times: i });
    expect(lines).toEqual(
      Array.from({ length: LINES_AT_ONCE }, (_, i) => ({ level: 'error', event: 'broken', fields: { client: 'a', times: i } })),
    );
  });

  test.each(['info', 'warn', 'error'] as const)(
    'what repeats for a day at level %s leaves some forty lines, which count all of it',
    (level) => {
      let told = 0;
      pass(24 * SUMMARY_MS_MAX, () => {
        told++;
        bounded.log[level]('connection refused', { peer: `tcp://192.0.2.7:${20_000 + (told % 30_000)}`, count: told });
      });
      bounded.flush();
      expect(lines.length).toBeGreaterThan(24);
      expect(lines.length).toBeLessThan(40);
      const held = lines.reduce((sum, { fields }) => sum + ((fields['repeated'] as number | undefined) ?? 0), 0);
      expect(held + LINES_AT_ONCE).toBe(told);
      expect(lines.at(-1)?.fields['count']).toBe(told);
    },
  );

  test('summaries come after one minute, two, four, and so on; nothing is written in between', () => {
    const writtenMs: number[] = [];
    pass(8 * SUMMARY_MS_MIN, () => {
      bounded.log.warn('x');
      if (lines.length > writtenMs.length) writtenMs.push(nowMs);
    });
    const summaries = lines.slice(LINES_AT_ONCE);
    expect(summaries).toHaveLength(3);
    for (const { fields } of summaries) expect(fields['repeated']).toBeGreaterThan(0);
  });

  test('the last lines are written although nothing follows', () => {
    for (let i = 0; i <= LINES_AT_ONCE; i++) bounded.log.warn('x', { i });
    expect(lines).toHaveLength(LINES_AT_ONCE);
    pass(SUMMARY_MS_MIN + 5_000);
    expect(lines.at(-1)?.fields).toEqual({ i: LINES_AT_ONCE, repeated: 1 });
  });

  test.each([
    ['members', { member: 1 }, { member: 2 }],
    ['pools', { pool: 'a' }, { pool: 'b' }],
    ['disks', { path: '/dev/sda1' }, { path: '/dev/sda2' }],
    ['hosts', { peer: 'tcp://192.0.2.1:4000' }, { peer: 'tcp://192.0.2.2:4000' }],
    ['states', { from: 'NORMAL', to: 'FAILED' }, { from: 'FAILED', to: 'NORMAL' }],
    ['causes of waiting', { waitingFor: 'a session' }, { waitingFor: 'a quorum' }],
  ])('one of the %s that is loud hides nothing of another', (_what, loud, other) => {
    for (let i = 0; i < 100; i++) bounded.log.warn('x', loud);
    bounded.log.warn('x', other);
    bounded.log.child(other).warn('x');
    expect(lines.slice(LINES_AT_ONCE).map(({ fields }) => fields)).toEqual([other, other]);
  });

  test('figures in a sentence make no other kind of it', () => {
    for (let i = 0; i < 100; i++) bounded.log.warn('pool waits', { waitingFor: `${i} bytes` });
    expect(lines).toHaveLength(LINES_AT_ONCE);
  });

  test('another reason is another kind of line, and what is quoted or counted in it is not', () => {
    for (let i = 0; i < 2 * LINES_AT_ONCE; i++) bounded.log.warn('refused', { reason: `the magic is 0x${i}f, and not "${i}"` });
    bounded.log.warn('refused', { reason: 'the option is too long' });
    expect(lines.map(({ fields }) => String(fields['reason']).slice(0, 9))).toEqual([
      ...Array.from({ length: LINES_AT_ONCE }, () => 'the magic'),
      'the optio',
    ]);
  });

  test('children are counted with what they add', () => {
    const [one, two] = [bounded.log.child({ pool: 'a' }), bounded.log.child({ pool: 'a' })];
    for (let i = 0; i < LINES_AT_ONCE; i++) one.child({ member: 1 }).info('x');
    two.child({ member: 1 }).info('x');
    two.child({ member: 2 }).info('x');
    expect(lines.map(({ fields }) => fields['member'])).toEqual([...Array(LINES_AT_ONCE).fill(1), 2]);
  });

  test('what has been quiet is news again', () => {
    for (let i = 0; i < 10; i++) bounded.log.info('x');
    pass(QUIET_MS + 10_000);
    lines.length = 0;
    bounded.log.info('x', { again: true });
    expect(lines).toEqual([{ level: 'info', event: 'x', fields: { again: true } }]);
  });

  test('kinds without end are forgotten, the quietest first, and what was counted of them is written', () => {
    for (let i = 0; i <= LINES_AT_ONCE; i++) bounded.log.warn('first');
    for (let i = 0; i < KINDS_MAX; i++) bounded.log.warn('other', { member: i });
    expect(lines.filter(({ event, fields }) => event === 'first' && fields['repeated'] === 1)).toHaveLength(1);
  });

  test('debug lines are all written', () => {
    for (let i = 0; i < 100; i++) bounded.log.debug('x');
    expect(lines).toHaveLength(100);
  });
});
