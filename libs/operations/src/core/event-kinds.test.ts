import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  EVENT_KINDS,
  EVENT_SEVERITIES,
  EVENT_SUBJECTS,
  type EventKind,
  type EventKindSpec,
  eventSentence,
  eventSeverity,
} from './event-kinds.ts';
import { eventReference } from './event-reference.ts';

const KINDS = Object.entries(EVENT_KINDS) as readonly [EventKind, EventKindSpec][];

test.each(KINDS)('%s: its sentence has each of its fields, once, and no other one', (_kind, { sentence, fields }) => {
  const named = [...sentence.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  expect(named.sort()).toEqual(Object.keys(fields).sort());
});

test.each(KINDS)('%s: its severity is one that there is, by a field that it has', (kind, { severity, fields }) => {
  if (typeof severity === 'string') expect(EVENT_SEVERITIES).toContain(severity);
  else {
    expect(Object.keys(fields)).toContain(severity.by);
    for (const [value, expected] of Object.entries(severity.values)) expect(eventSeverity(kind, { [severity.by]: value })).toBe(expected);
    expect(eventSeverity(kind, { [severity.by]: 'anything else' })).toBe(severity.otherwise);
  }
});

test.each(KINDS)('%s: what is summed up has a number of times, and nothing else has', (_kind, { summed, fields }) => {
  expect(fields['times']).toBe(summed === true ? 'number' : undefined);
});

test('fields are put into the sentence as they are', () => {
  const fields = { pool: '$& {what}', what: 'member 2' };
  expect(eventSentence('pool-waits', fields)).toBe('IO of $& {what} waits for member 2');
});

test('events are about what the list of subjects has', () => {
  expect(new Set(KINDS.map(([, { about }]) => about))).toEqual(new Set(Object.keys(EVENT_SUBJECTS)));
});

test('docs/events.md has every kind as the list has it; to update it: UPDATE_DOCS=1 npx vitest run --root libs/operations event-kinds', () => {
  const path = new URL('../../../../docs/events.md', import.meta.url);
  const begin = '<!-- The kinds of events: from their list. -->\n\n';
  const end = '\n\n<!-- The end of the kinds of events. -->';
  const text = readFileSync(path, 'utf8');
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  expect(from).toBeGreaterThan(begin.length);
  expect(to).toBeGreaterThanOrEqual(from);
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(path, text.slice(0, from) + eventReference() + text.slice(to));
  else expect(text.slice(from, to)).toBe(eventReference());
});
