import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StreamListener } from '../stream.ts';
import { bindUnixSocket, type SocketAccess } from './socket-access.ts';
import { SocketTransport } from './socket-transport.ts';

const isRoot = process.getuid?.() === 0;

let folder: string;
let path: string;
const listeners: StreamListener[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-access-'));
  chmodSync(folder, 0o755);
  path = join(folder, 'nbd.sock');
});
afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => new Promise<void>((resolve) => listener.close(resolve))));
  rmSync(folder, { recursive: true });
});

async function listen(access: SocketAccess, transport = new SocketTransport()): Promise<StreamListener> {
  transport.setAccess(access);
  const listener = await new Promise<StreamListener>((resolve, reject) =>
    transport.listen(
      `unix:${path}`,
      (stream) => stream.destroy('tested'),
      resolve,
      (code, reason) => reject(new Error(`${code}: ${reason}`)),
    ),
  );
  listeners.push(listener);
  return listener;
}

/** How an attempt to connect ends: `connected`, or the error's code. */
function attempt(): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('connected');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
  });
}

/** The same as another user and group. */
function attemptAs(uid: number, gid: number): string {
  const script = `const s=require('net').connect(${JSON.stringify(path)});s.on('connect',()=>{console.log('connected');s.destroy()});s.on('error',(e)=>console.log(e.code))`;
  return spawnSync(process.execPath, ['-e', script], { uid, gid, cwd: '/', env: {}, encoding: 'utf8' }).stdout.trim();
}

describe('who may connect to a unix socket', () => {
  test('the mode is what was asked for, whatever the umask', async () => {
    const before = process.umask(0o077);
    try {
      await listen({ mode: 0o666 });
    } finally {
      process.umask(before);
    }
    expect(statSync(path).mode & 0o777).toBe(0o666);
    expect(await attempt()).toBe('connected');
  });

  test('nobody can connect before the owner and the mode are in force: until then it does not listen', async () => {
    const fd = bindUnixSocket(path, { mode: 0o600 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await attempt()).toBe('ECONNREFUSED');
    expect(fd).toBeGreaterThan(2);
  });

  test.skipIf(!isRoot)('owner and group are given by name or by number', async () => {
    await listen({ mode: 0o660, owner: 'nobody', group: '12345' });
    const stat = statSync(path);
    expect(stat.uid).toBe(Number(spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout));
    expect([stat.gid, stat.mode & 0o777]).toEqual([12_345, 0o660]);
    expect(attemptAs(54_321, 12_345)).toBe('connected');
    expect(attemptAs(54_321, 54_321)).toBe('EACCES');
  });

  test.each([
    [{ owner: 'nobody-of-that-name' }, 'there is no user "nobody-of-that-name" on this host'],
    [{ group: 'none-of-that-name' }, 'there is no group "none-of-that-name" on this host'],
  ])('%j, which nobody has, is refused, and nothing is left', async (access, message) => {
    await expect(listen(access)).rejects.toThrow(message);
    expect(existsSync(path)).toBe(false);
  });

  test('what a killed process has left is replaced; what somebody listens on, and what is no socket, is not', async () => {
    const fd = bindUnixSocket(path, { mode: 0o600 });
    expect(fd).toBeGreaterThan(2);
    await listen({ mode: 0o640 });
    expect(statSync(path).mode & 0o777).toBe(0o640);
    await expect(listen({ mode: 0o600 })).rejects.toThrow('EADDRINUSE');
    expect(await attempt()).toBe('connected');
    await new Promise<void>((resolve) => listeners.pop()?.close(resolve));
    writeFileSync(path, 'no socket');
    await expect(listen({ mode: 0o600 })).rejects.toThrow('EADDRINUSE');
    expect(statSync(path).isFile()).toBe(true);
  });

  test('the file goes with the listener, unless it is that of another one by then', async () => {
    const first = await listen({ mode: 0o600 });
    await new Promise<void>((resolve) => first.close(resolve));
    expect(existsSync(path)).toBe(false);
    const second = await listen({ mode: 0o600 });
    rmSync(path);
    await listen({ mode: 0o600 });
    await new Promise<void>((resolve) => second.close(resolve));
    expect(await attempt()).toBe('connected');
  });
});
