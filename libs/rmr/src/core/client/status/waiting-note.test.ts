import { VirtualWorld } from '@rmr/testing';
import { beforeEach, expect, test } from 'vitest';
import { WaitingNote } from './waiting-note.ts';

let virtual: VirtualWorld;
let note: WaitingNote;
let beganMs: number;

const sinceMs = (): number => (note.current?.sinceMs ?? Number.NaN) - beganMs;

beforeEach(() => {
  virtual = new VirtualWorld();
  const world = virtual.host('client-1');
  beganMs = world.clock.wallMs();
  note = new WaitingNote(world);
});

test('a step has begun when it was first told, however it narrows down', () => {
  note.step({ what: 'members 1 and 2' }, false);
  virtual.run(500);
  note.step({ what: 'member 2' }, true);
  expect([note.current?.what, sinceMs()]).toEqual(['member 2', 0]);
  virtual.run(500);
  note.step({ what: 'members 1 and 2 again' }, false);
  expect(sinceMs()).toBe(1_000);
});

test('attempts that end in the same have waited for it since the first, whatever their steps were', () => {
  note.wait({ what: 'member 3', remedy: 'start it' });
  virtual.run(500);
  note.step({ what: 'a grant' }, false);
  expect(note.current).toEqual({ what: 'a grant', sinceMs: beganMs + 500 });
  virtual.run(500);
  note.wait({ what: 'member 3' });
  expect(note.current).toEqual({ what: 'member 3', sinceMs: beganMs });
  note.wait({ what: 'member 4' });
  expect(sinceMs()).toBe(1_000);
});

test('what has been got over and is waited for anew begins anew', () => {
  note.wait({ what: 'member 3' });
  note.clear();
  expect(note.current).toBeNull();
  virtual.run(500);
  note.wait({ what: 'member 3' });
  expect(sinceMs()).toBe(500);
});
