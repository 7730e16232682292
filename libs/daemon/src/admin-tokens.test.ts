import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readTokens } from './admin-tokens.ts';

const SECRETS = { alice: 'alices-secret-token-1', grafana: 'grafanas-secret-token' };
const hashed = (token: string): string => `sha256:${createHash('sha256').update(token).digest('hex')}`;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tokens-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function file(text: string): string {
  const path = join(directory, 'tokens');
  writeFileSync(path, text);
  return path;
}

describe('the token file', () => {
  test('a file with a token alone makes its sender an admin', () => {
    const tokens = readTokens(file('0123456789abcdef\n'));
    expect(tokens.callerOf('0123456789abcdef')).toEqual({ name: 'token', role: 'admin' });
    expect(tokens.callerOf('0123456789abcdeF')).toBeNull();
    expect(tokens.callerOf('')).toBeNull();
  });

  test('each named token gives its name and its role', () => {
    const tokens = readTokens(
      file(`# people\nalice operator ${hashed(SECRETS.alice)}\n\n# programs\ngrafana  viewer\t${hashed(SECRETS.grafana)}\n`),
    );
    expect(tokens.callerOf(SECRETS.alice)).toEqual({ name: 'alice', role: 'operator' });
    expect(tokens.callerOf(SECRETS.grafana)).toEqual({ name: 'grafana', role: 'viewer' });
    expect(tokens.callerOf(hashed(SECRETS.alice))).toBeNull();
  });

  test.each([
    ['an empty file', '\n', /does not hold a token/],
    ['a short token', 'short\n', /does not hold a token/],
    ['two tokens without names', '0123456789abcdef\n0123456789abcdeg\n', /line 1 that is no token/],
    ['a digest that is cut', `alice admin ${hashed('x').slice(0, -1)}`, /line 1 that is no token/],
    ['an unknown role', `alice root ${hashed('x')}`, /the role "root" in line 1; roles are viewer, operator, admin/],
    ['a name twice', `a viewer ${hashed('x')}\na admin ${hashed('y')}`, /the name "a" a second time, in line 2/],
    ['a file that is too long', '#'.repeat(20_000), /longer than/],
  ])('%s is refused', (_what, text, message) => {
    expect(() => readTokens(file(text))).toThrow(message);
  });

  test('a file that is missing is refused with its path', () => {
    expect(() => readTokens(join(directory, 'absent'))).toThrow(/admin\.tokenFile: cannot read .*absent/);
  });
});
