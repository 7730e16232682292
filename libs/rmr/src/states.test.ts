import { readFileSync } from 'node:fs';
import { InvariantViolation, type Logger, SILENT_LOGGER } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { LEG_TRANSITIONS, type LegState, SERVER_POOL_TRANSITIONS, type ServerPoolState, StateMachine } from './states.ts';

const PROTOCOL = readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8');

describe.each([
  ['client leg', LEG_TRANSITIONS as Record<string, Record<string, string>>],
  ['server pool', SERVER_POOL_TRANSITIONS as Record<string, Record<string, string>>],
])('%s states', (name, table) => {
  const states = Object.keys(table);
  test('every transition is carried out if it is in the table, and is a bug otherwise', () => {
    for (const from of states) {
      for (const to of states) {
        const machine = new StateMachine<string>(table, from, SILENT_LOGGER, 'state');
        if (table[from]?.[to] === undefined) {
          expect(() => machine.set(to, 'test')).toThrow(InvariantViolation);
          expect(machine.state).toBe(from);
        } else {
          machine.set(to, 'test');
          expect([machine.state, machine.reason]).toEqual([to, 'test']);
        }
      }
    }
  });

  test('the diagram of docs/protocol.md shows them all, and no other', () => {
    const diagram = PROTOCOL.split(`state "${name}" as`)[1]?.split('```')[0] ?? '';
    const shown = [...diagram.matchAll(/([A-Z_]+) --> ([A-Z_]+): \S/g)].map((match) => `${match[1]} ${match[2]}`);
    const legal = states.flatMap((from) => Object.keys(table[from] ?? {}).map((to) => `${from} ${to}`));
    expect(shown.sort()).toEqual(legal.sort());
  });

  test('every state but a terminal one can be left, and every transition says why it exists', () => {
    for (const from of states) {
      const reasons = Object.values(table[from] ?? {});
      if (from !== 'REMOVING') expect(reasons.length).toBeGreaterThan(0);
      for (const reason of reasons) expect(reason.length).toBeGreaterThan(5);
    }
  });
});

test.each([
  ['a leg', LEG_TRANSITIONS as Record<string, Record<string, string>>, ['NORMAL FAILED']],
  ['a server pool', SERVER_POOL_TRANSITIONS as Record<string, Record<string, string>>, ['NORMAL NO_IO']],
])('%s that is lost to the pool is a warning, every other transition is information', (_name, table, warnings) => {
  const warned: string[] = [];
  const informed: string[] = [];
  const log: Logger = {
    ...SILENT_LOGGER,
    info: (_event, fields) => informed.push(`${fields?.['from']} ${fields?.['to']}`),
    warn: (_event, fields) => warned.push(`${fields?.['from']} ${fields?.['to']}`),
  };
  const legal = Object.keys(table).flatMap((from) => Object.keys(table[from] ?? {}).map((to) => [from, to] as const));
  for (const [from, to] of legal) new StateMachine<string>(table, from, log, 'state').set(to, 'test');
  expect([warned, informed.length]).toEqual([warnings, legal.length - warnings.length]);
});

test('a removed leg never comes back, and an empty pool never serves', () => {
  const states: LegState[] = ['CREATED', 'NORMAL', 'FAILED', 'RECONNECTING', 'REMOVING'];
  for (const state of states) expect(LEG_TRANSITIONS.REMOVING[state]).toBeUndefined();
  const serving: ServerPoolState = 'NORMAL';
  expect(SERVER_POOL_TRANSITIONS.EMPTY[serving]).toBeUndefined();
});
