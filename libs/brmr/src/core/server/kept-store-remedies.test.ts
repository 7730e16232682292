// What a person is told to do about a store on an export that is not open: it is about the server, where the trouble is the server's.
import { expect, test } from 'vitest';
import { remedyFor } from './kept-store.ts';

test.each([
  ['NOT_FOUND', /^Check that the server of nbd:\/\/host\/a runs, that it has this export .* An older copy /],
  ['UNAVAILABLE', /^If the reason says for how long the export is not used: nothing, .* runs and can be reached/],
  ['TIMEOUT', /^Check that the server of nbd:\/\/host\/a runs/],
  ['IO_ERROR', /^Check that the server of nbd:\/\/host\/a runs/],
  ['PERMISSION_DENIED', /^Change how the server of nbd:\/\/host\/a offers the export/],
  ['UNSUPPORTED', /^Change how the server of nbd:\/\/host\/a offers the export/],
  ['STORE_DAMAGED', /^Check the disk of nbd:\/\/host\/a, and keep what is there/],
] as const)('what helps a store on an export that is not open: %s', (code, remedy) => {
  expect(remedyFor(code, 'nbd://host/a')).toMatch(remedy);
  expect(remedyFor(code, '/a') ?? '').not.toContain('server');
});
