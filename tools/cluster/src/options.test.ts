import { OperationError } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { newClusterOptions, parseUpFlags, refuseContradiction, type UpFlags } from './options.ts';

function options(flags: UpFlags) {
  return newClusterOptions(parseUpFlags(flags));
}

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(OperationError);
    return `${(error as OperationError).code} ${(error as OperationError).message}`;
  }
  throw new Error('it was accepted');
}

describe('options of up', () => {
  test('a cluster without options is two storage nodes that mirror 1 GiB', () => {
    expect(options({})).toEqual({
      storageNodes: 2,
      replicas: 2,
      clientNodes: 1,
      sizeBytes: 1_073_741_824,
      chunkSizeBytes: 131_072,
      transport: 'tcp',
      paths: 1,
      nbd: { kind: 'own-socket' },
      volatileCache: false,
      quorum: 'none',
      witness: false,
      resyncRateBytes: null,
      returnHoldMs: null,
    });
  });

  test('more replicas bring their storage nodes along, fewer storage nodes take replicas away', () => {
    expect(options({ replicas: '3' })).toMatchObject({ storageNodes: 3, replicas: 3 });
    expect(options({ storageNodes: '1' })).toMatchObject({ storageNodes: 1, replicas: 1 });
    expect(options({ storageNodes: '4' })).toMatchObject({ storageNodes: 4, replicas: 2 });
  });

  test('more replicas than storage nodes are refused', () => {
    expect(refusal(() => options({ storageNodes: '2', replicas: '3' }))).toContain(
      'INVALID_ARGUMENT --replicas 3 needs as many storage nodes',
    );
  });

  test.each<[UpFlags, string]>([
    [{ storageNodes: '0' }, '--storage-nodes "0": write a whole number from 1 to 16'],
    [{ storageNodes: '2.5' }, '--storage-nodes "2.5"'],
    [{ storageNodes: '-1' }, '--storage-nodes "-1"'],
    [{ replicas: '9' }, '--replicas "9": write a whole number from 1 to 8'],
    [{ clientNodes: '5' }, '--client-nodes "5": write a whole number from 1 to 4'],
    [{ paths: 'two' }, '--paths "two"'],
    [{ returnHold: 'long' }, '--return-hold: "long"'],
    [{ size: '10GB5' }, '--size: "10GB5" is not a size'],
    [{ size: '0' }, '--size 0: a device is a positive number of sectors of 512 bytes'],
    [{ size: '1000' }, '--size 1000'],
    [{ chunkSize: '100KiB' }, '--chunk-size 100KiB: write a power of two from 4 KiB to 16 MiB'],
    [{ chunkSize: '2KiB' }, '--chunk-size 2KiB'],
    [{ chunkSize: '32MiB' }, '--chunk-size 32MiB'],
    [{ resyncRate: '1KiB' }, '--resync-rate 1KiB: write at least 64 KiB'],
    [{ transport: 'udp' }, '--transport "udp": write tcp or unix'],
    [{ nbdPort: '0' }, '--nbd-port "0"'],
    [{ nbdPort: '65536' }, '--nbd-port "65536"'],
    [{ nbdPort: '1', nbdSocket: '/x' }, '--nbd-socket and --nbd-port exclude each other'],
    [{ nbdSocket: `/${'x'.repeat(107)}` }, 'the path of a socket has at most 107 bytes, this one has 108'],
  ])('%j is refused', (flags, expected) => {
    const message = refusal(() => parseUpFlags(flags));
    expect(message).toMatch(/^INVALID_ARGUMENT /);
    expect(message).toContain(expected);
  });

  test('what agrees with the cluster that is there is accepted, however it is written', () => {
    const existing = options({ size: '1GiB', nbdPort: '10809' });
    refuseContradiction('/d', existing, parseUpFlags({}));
    refuseContradiction('/d', existing, parseUpFlags({ size: '1024MiB', replicas: '2', nbdPort: '10809', chunkSize: '131072' }));
  });

  test.each<[UpFlags, string, string]>([
    [{ storageNodes: '3' }, '--storage-nodes 2', '--storage-nodes 3'],
    [{ replicas: '1' }, '--replicas 2', '--replicas 1'],
    [{ size: '2GiB' }, '--size 1073741824', '--size 2147483648'],
    [{ chunkSize: '64KiB' }, '--chunk-size 131072', '--chunk-size 65536'],
    [{ transport: 'unix' }, '--transport tcp', '--transport unix'],
    [{ clientNodes: '2' }, '--client-nodes 1', '--client-nodes 2'],
    [{ paths: '2' }, '--paths 1', '--paths 2'],
    [{ nbdPort: '10809' }, 'an NBD socket of its own', '--nbd-port 10809'],
    [{ returnHold: '60s' }, 'the default hold of a return', '--return-hold 60000ms'],
    [{ resyncRate: '8MiB' }, 'the default rate of resync', '--resync-rate 8388608'],
    [{ volatileCache: true }, 'stores without a volatile cache', '--volatile-cache'],
    [{ nbdSocket: '/run/x' }, 'an NBD socket of its own', '--nbd-socket /run/x'],
  ])('%j contradicts a cluster with the defaults, and both values are named', (flags, is, wanted) => {
    const message = refusal(() => refuseContradiction('/d', options({}), parseUpFlags(flags)));
    expect(message).toContain('CONFLICT the cluster in /d is another one');
    expect(message).toContain(`"${is}"`);
    expect(message).toContain(`"${wanted}"`);
  });
});
