import { transportCompliance } from './compliance.ts';
import { MemoryNetwork } from './memory-network.ts';
import { VirtualWorld } from './virtual-world.ts';

const VIRTUAL_MS_MAX = 600_000;

for (const [name, options] of [
  ['memory', {}],
  ['memory, delayed and cut anywhere', { delayMsMin: 0, delayMsMax: 20, runBytesMax: 9_000 }],
  ['memory, a narrow window', { windowBytes: 5_000, runBytesMax: 3_000 }],
] as const) {
  transportCompliance(name, () => {
    const world = new VirtualWorld(42);
    const network = new MemoryNetwork(world, options);
    return {
      transport: network.host('a'),
      address: 'memory:listener',
      otherAddress: 'memory:nobody',
      invalidAddress: 'tcp://127.0.0.1:1',
      waitFor: async (predicate, what) => world.runUntil(predicate, VIRTUAL_MS_MAX, what),
      dispose: () => {},
    };
  });
}
