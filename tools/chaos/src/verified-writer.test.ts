import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RequestKind } from './device-request.ts';
import { TestingServer } from './testing-server.ts';
import { VerifiedWriter, type WriterOptions } from './verified-writer.ts';

/** Generous: nothing depends on it unless something is broken. */
const WAIT_MS = 60_000;
const PART_BYTES = 256 * 1024;
const FIRST_BYTE = 4096;

let server: TestingServer;
let writer: VerifiedWriter;
let instance: string;

beforeEach(async () => {
  server = new TestingServer(FIRST_BYTE + PART_BYTES);
  await server.listen();
  instance = 'first';
});

afterEach(async () => {
  writer.stop();
  await server.close();
});

function start(options: Partial<WriterOptions> = {}): void {
  writer = new VerifiedWriter({
    seed: 1,
    firstByte: FIRST_BYTE,
    lengthBytes: PART_BYTES,
    endpoint: () => ({ address: server.address, instance }),
    requestsPerSecondMax: 100_000,
    ...options,
  });
  writer.write();
}

describe('verified writer', () => {
  test('an honest server is found to be one, and its neighbours are left alone', async () => {
    start();
    await writer.progress(2000, WAIT_MS);
    await writer.rest(WAIT_MS);
    await writer.flush(WAIT_MS);
    await writer.readBack(2, WAIT_MS);
    expect(writer.violation).toBeNull();
    expect(writer.record.counters.reads).toBeGreaterThan(0);
    expect(server.memory.subarray(0, FIRST_BYTE).every((byte) => byte === 0)).toBe(true);
  });

  test('a server that forgets writes is found out', async () => {
    start();
    await writer.progress(500, WAIT_MS);
    // All of them from now on: one alone may be overwritten before anybody reads it.
    server.misbehave = ({ kind }) => (kind === RequestKind.WRITE ? 0 : null);
    await expect(writer.progress(100_000, WAIT_MS)).rejects.toThrow('was overwritten');
    expect(writer.violation).not.toBeNull();
  });

  test('a server that changes one byte by itself is found out', async () => {
    start();
    await writer.progress(500, WAIT_MS);
    await writer.rest(WAIT_MS);
    server.memory[FIRST_BYTE + 1000] = 0x99;
    await expect(writer.readBack(1, WAIT_MS)).rejects.toThrow(/^sector 1: /);
  });

  test('a server that is replaced may have done or not done what was in flight', async () => {
    start();
    for (const name of ['second', 'third', 'fourth']) {
      await writer.progress(300, WAIT_MS);
      server.silent = true;
      const { arrived } = server;
      while (server.arrived === arrived && writer.record.underWay.size < 16) await new Promise((resolve) => setImmediate(resolve));
      instance = name;
      server.silent = false;
      server.dropConnections();
    }
    await writer.progress(300, WAIT_MS);
    await writer.rest(WAIT_MS);
    await writer.readBack(2, WAIT_MS);
    expect(writer.reconnects).toBe(3);
  });

  test('a server that drops a connection although it lives is found out', async () => {
    start();
    await writer.progress(100, WAIT_MS);
    server.dropConnections();
    await expect(writer.progress(100_000, WAIT_MS)).rejects.toThrow('a server that lives ended its connection');
  });

  test('unless the connection was given up', async () => {
    start();
    await writer.progress(100, WAIT_MS);
    writer.abandonConnection();
    await writer.progress(500, WAIT_MS);
    await writer.rest(WAIT_MS);
    expect(writer.reconnects).toBe(1);
  });

  test('an error is a violation', async () => {
    start();
    server.misbehave = ({ kind }) => (kind === RequestKind.READ ? 5 : null);
    await expect(writer.progress(100_000, WAIT_MS)).rejects.toThrow(/READ of \d+ sectors at sector \d+ failed with error 5/);
  });

  test('unless a flush may fail', async () => {
    start({ mayFailFlush: () => true });
    server.misbehave = ({ kind }) => (kind === RequestKind.FLUSH ? 5 : null);
    await writer.progress(2000, WAIT_MS);
    expect(writer.record.counters.errors).toBeGreaterThan(0);
  });

  test('a server that does not answer is named with what it owes', async () => {
    start();
    server.silent = true;
    await vi.waitFor(() => expect(writer.activity).toContain('requests in flight'), WAIT_MS);
    await expect(writer.progress(1, 10)).rejects.toThrow(/waited for 1 more answers for 0.01 s: \d+ requests in flight, the oldest: /);
  });

  test('a server that is not there, or lacks the export, is waited for', async () => {
    let address = { ...server.address, export: 'another' };
    start({ endpoint: () => ({ address, instance }) });
    await vi.waitFor(() => expect(writer.activity).toBe(`not connected: export "another" can't be had: no such export`), WAIT_MS);
    address = server.address;
    await writer.progress(10, WAIT_MS);
  });

  test('a device that is too small is refused', async () => {
    start({ lengthBytes: 2 * PART_BYTES });
    await expect(writer.progress(100_000, WAIT_MS)).rejects.toThrow('the device has only');
  });
});
