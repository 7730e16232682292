import { SlabPool } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
import { CHUNK, CHUNKS } from '../../testing/pool-server-rig.ts';
import { identityOf, ScriptedSessions } from '../../testing/scripted-pool.ts';
import { ScriptedStore } from '../../testing/scripted-store.ts';
import { RmrServer } from './rmr-server.ts';

test('W10: a store of which a flush has failed is careful for as long as the process lives, also when it was closed and opened meanwhile', () => {
  const server = new RmrServer(new VirtualWorld(), new SlabPool(), new ScriptedSessions());
  const opened = (): ScriptedStore => new ScriptedStore(identityOf(1, CHUNKS, CHUNK, 512));
  const first = opened();
  const pool = server.register(first);
  expect(first.careful).toBe(false);
  first.onDoubt();
  server.unregister(pool, () => {});
  const second = opened();
  server.register(second);
  expect([first.careful, second.careful]).toEqual([true, true]);
});

test('W10: so is one whose page cache is in doubt when it is opened', () => {
  const server = new RmrServer(new VirtualWorld(), new SlabPool(), new ScriptedSessions());
  const store = new ScriptedStore(identityOf(1, CHUNKS, CHUNK, 512));
  store.cacheDoubtful = true;
  server.register(store);
  expect(store.careful).toBe(true);
});
