import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SocketTransport } from '@rmr/runtime/node';
import { transportCompliance } from '@rmr/testing/compliance';
import { vi } from 'vitest';

const WAIT = { timeout: 50_000, interval: 1 };

async function waitFor(predicate: () => boolean, what: string): Promise<void> {
  await vi.waitFor(() => {
    if (!predicate()) throw new Error(`waited for ${what} in vain`);
  }, WAIT);
}

transportCompliance('tcp', () => ({
  transport: new SocketTransport(),
  address: 'tcp://127.0.0.1:0',
  otherAddress: 'tcp://127.0.0.1:1',
  invalidAddress: 'memory:name',
  waitFor,
  dispose: () => {},
}));

transportCompliance('unix', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rtrs-compliance-'));
  return {
    transport: new SocketTransport(),
    address: `unix:${folder}/listener`,
    otherAddress: `unix:${folder}/nobody`,
    invalidAddress: 'unix:relative/path',
    waitFor,
    dispose: () => rmSync(folder, { recursive: true }),
  };
});
