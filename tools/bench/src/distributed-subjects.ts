import { OperationError } from '@rmr/runtime';
import { fillWithRandomData } from './fio.ts';
import { findProgram, runToEnd } from './processes.ts';
import type { Subject, SubjectKind } from './subject.ts';

/**
 * The distributed systems. Setting one up is not a benchmark's business: name a volume (GlusterFS, replica 2,
 * write-behind off) or an image (Ceph RBD, size 2) that exists on this host, is at least as large as `--size`, and
 * may be overwritten.
 */
export interface DistributedOptions {
  /** `HOST:VOLUME`, the host a loopback one. */
  readonly gluster: string | undefined;
  /** `POOL/IMAGE`. */
  readonly rbd: string | undefined;
}

/** GlusterFS and Ceph, as far as they are there. */
export function distributedPeers(options: DistributedOptions): readonly SubjectKind[] {
  return [glusterPeer(options.gluster), cephPeer(options.rbd)];
}

function glusterPeer(volume: string | undefined): SubjectKind {
  return {
    name: 'GlusterFS ×2',
    copies: 0,
    missing() {
      if (findProgram('glusterd') === null) return 'not installed';
      return volume === undefined ? 'installed, but no volume named: pass --gluster HOST:VOLUME' : null;
    },
    async start({ sizeBytes, signal }) {
      const [host, name] = (volume as string).split(':');
      if (!host || !name) throw new OperationError('INVALID_ARGUMENT', `--gluster "${volume}" is not HOST:VOLUME`);
      if (!isLoopback(host))
        throw new OperationError('INVALID_ARGUMENT', `--gluster: ${host} is not a loopback host; nothing else is loaded`);
      const target = ['--ioengine=gfapi', `--volume=${name}`, `--brick=${host}`, '--filename=rmr-bench.img'];
      await fillWithRandomData(target, sizeBytes, signal);
      return external('GlusterFS ×2', `GlusterFS volume ${name} through gfapi`, target);
    },
  };
}

function cephPeer(image: string | undefined): SubjectKind {
  return {
    name: 'Ceph RBD ×2',
    copies: 0,
    missing() {
      if (findProgram('ceph-osd') === null) return 'not installed';
      return image === undefined ? 'installed, but no image named: pass --rbd POOL/IMAGE' : null;
    },
    async start({ sizeBytes, signal }) {
      const [pool, name] = (image as string).split('/');
      if (!pool || !name) throw new OperationError('INVALID_ARGUMENT', `--rbd "${image}" is not POOL/IMAGE`);
      const monitors = (await runToEnd('ceph-conf', ['--lookup', 'mon_host'], signal)).trim().split(/[\s,;]+/);
      const foreign = monitors.find((address) => !isLoopback(address.replace(/^\[?v[12]:/, '')));
      if (foreign !== undefined) {
        throw new OperationError('INVALID_ARGUMENT', `--rbd: the monitor ${foreign} is not on loopback; nothing else is loaded`);
      }
      const target = ['--ioengine=rbd', `--pool=${pool}`, `--rbdname=${name}`, '--clientname=admin'];
      await fillWithRandomData(target, sizeBytes, signal);
      return external('Ceph RBD ×2', `Ceph RBD image ${image} through librbd`, target);
    },
  };
}

function isLoopback(address: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)(:|\/|$)/.test(address);
}

/** Its daemons are not ours to know: no CPU, memory or start-up figures. */
function external(name: string, description: string, target: readonly string[]): Subject {
  return { name, description, replicas: 2, target, processes: [], startUpMs: {} };
}
