/**
 * A small NBD server for tests with real clients and for measurements, in a process of its own.
 *
 * Arguments: ADDRESS, then one JSON object per export ({@link MemoryDeviceOptions} and `sizeBytes`). Prints one line of
 * JSON, `{"address": …}`, once it listens, and ends gracefully on SIGTERM, with what it still holds in its last line.
 */
import { SlabPool } from '@rmr/runtime';
import { createLogger, createSystemWorld, SocketTransport } from '@rmr/runtime/node';
import { NbdServer } from '../core/nbd-server.ts';
import { MemoryDevice, type MemoryDeviceOptions } from '../testing/memory-device.ts';

const [address, ...exportsJson] = process.argv.slice(2);
if (address === undefined) throw new Error('usage: serve-memory.ts ADDRESS EXPORT_JSON…');

const world = createSystemWorld(createLogger('serve-memory', 'info'));
const slabs = new SlabPool();
const server = new NbdServer(world, slabs);
for (const json of exportsJson) {
  const options = JSON.parse(json) as MemoryDeviceOptions & { sizeBytes: number };
  server.addExport(new MemoryDevice(world, options.sizeBytes, options));
}

function say(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

new SocketTransport().listen(
  address,
  (stream) => server.accept(stream),
  (listener) => {
    say({ address: listener.address });
    process.once('SIGTERM', () => {
      listener.close();
      server.shutdown(true, () => {
        server.verify();
        say({ heldBytes: slabs.heldBytes, orphanedRequests: server.orphanedRequests });
      });
    });
  },
  (code, reason) => {
    throw new Error(`${code}: ${reason}`);
  },
);
