import { resolve } from 'node:path';
import { formatSize, OperationError, parseDuration, parseSize } from '@rmr/runtime';
import {
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  CLIENT_NODES_MAX,
  DEFAULTS,
  PATHS_MAX,
  REPLICAS_MAX,
  RESYNC_RATE_BYTES_MIN,
  SECTOR_BYTES,
  SOCKET_PATH_BYTES_MAX,
  STORAGE_NODES_MAX,
} from './constants.ts';

/** Where NBD clients are served: a socket or port of the caller's choice, or a socket of ours. */
export type NbdEndpoint =
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'own-socket' };

/** What a cluster is, for as long as it exists. */
export interface ClusterOptions {
  readonly storageNodes: number;
  readonly replicas: number;
  readonly clientNodes: number;
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly transport: 'tcp' | 'unix';
  readonly paths: number;
  readonly nbd: NbdEndpoint;
  /** Stores keep what was not flushed in a cache that dies with their storage node. */
  readonly volatileCache: boolean;
  /** What a storage node pulls at most when it has missed something, in bytes per second; null: the daemon's default. */
  readonly resyncRateBytes: number | null;
  /** For how long a client node holds IO for a member that returns, in milliseconds; null: the daemon's default. */
  readonly returnHoldMs: number | null;
  /** The quorum that the pool is born with, and whether a witness votes. */
  readonly quorum: 'none' | 'majority';
  readonly witness: boolean;
}

/** The flags of `up` as they were given. */
export interface UpFlags {
  readonly storageNodes?: string;
  readonly replicas?: string;
  readonly clientNodes?: string;
  readonly size?: string;
  readonly chunkSize?: string;
  readonly transport?: string;
  readonly paths?: string;
  readonly nbdSocket?: string;
  readonly nbdPort?: string;
  readonly volatileCache?: true;
  readonly resyncRate?: string;
  readonly returnHold?: string;
  readonly quorum?: string;
  readonly witness?: true;
}

/** What was asked for: a part of the options. */
export type AskedOptions = { readonly [Key in keyof ClusterOptions]?: ClusterOptions[Key] | undefined };

/** Understands the flags of `up`. Throws INVALID_ARGUMENT with the flag's name. */
export function parseUpFlags(flags: UpFlags): AskedOptions {
  if (flags.nbdSocket !== undefined && flags.nbdPort !== undefined) {
    throw new OperationError('INVALID_ARGUMENT', '--nbd-socket and --nbd-port exclude each other; give one of them');
  }
  const asked = {
    storageNodes: wholeNumber('--storage-nodes', flags.storageNodes, 1, STORAGE_NODES_MAX),
    replicas: wholeNumber('--replicas', flags.replicas, 1, REPLICAS_MAX),
    clientNodes: wholeNumber('--client-nodes', flags.clientNodes, 1, CLIENT_NODES_MAX),
    sizeBytes: size('--size', flags.size),
    chunkSizeBytes: size('--chunk-size', flags.chunkSize),
    transport: transport(flags.transport),
    paths: wholeNumber('--paths', flags.paths, 1, PATHS_MAX),
    nbd: nbd(flags),
    volatileCache: flags.volatileCache,
    resyncRateBytes: size('--resync-rate', flags.resyncRate),
    returnHoldMs: duration('--return-hold', flags.returnHold),
    quorum: quorum(flags.quorum),
    witness: flags.witness,
  };
  if (asked.resyncRateBytes !== undefined && asked.resyncRateBytes < RESYNC_RATE_BYTES_MIN) {
    throw new OperationError('INVALID_ARGUMENT', `--resync-rate ${flags.resyncRate}: write at least ${formatSize(RESYNC_RATE_BYTES_MIN)}`);
  }
  if (asked.sizeBytes !== undefined && (asked.sizeBytes === 0 || asked.sizeBytes % SECTOR_BYTES !== 0)) {
    throw new OperationError('INVALID_ARGUMENT', `--size ${flags.size}: a device is a positive number of sectors of ${SECTOR_BYTES} bytes`);
  }
  const chunk = asked.chunkSizeBytes;
  if (chunk !== undefined && (chunk < CHUNK_BYTES_MIN || chunk > CHUNK_BYTES_MAX || !Number.isInteger(Math.log2(chunk)))) {
    throw new OperationError(
      'INVALID_ARGUMENT',
      `--chunk-size ${flags.chunkSize}: write a power of two from ${formatSize(CHUNK_BYTES_MIN)} to ${formatSize(CHUNK_BYTES_MAX)}`,
    );
  }
  return asked;
}

/** The options of a new cluster. Throws INVALID_ARGUMENT when they don't go together. */
export function newClusterOptions(asked: AskedOptions): ClusterOptions {
  const storageNodes = asked.storageNodes ?? Math.max(DEFAULTS.storageNodes, asked.replicas ?? 0);
  const replicas = asked.replicas ?? Math.min(DEFAULTS.replicas, storageNodes);
  if (replicas > storageNodes) {
    throw new OperationError(
      'INVALID_ARGUMENT',
      `--replicas ${replicas} needs as many storage nodes, and --storage-nodes is ${storageNodes}; raise it, or lower the replicas`,
    );
  }
  return {
    storageNodes,
    replicas,
    clientNodes: asked.clientNodes ?? DEFAULTS.clientNodes,
    sizeBytes: asked.sizeBytes ?? DEFAULTS.sizeBytes,
    chunkSizeBytes: asked.chunkSizeBytes ?? DEFAULTS.chunkSizeBytes,
    transport: asked.transport ?? DEFAULTS.transport,
    paths: asked.paths ?? DEFAULTS.paths,
    nbd: asked.nbd ?? { kind: 'own-socket' },
    volatileCache: asked.volatileCache ?? false,
    resyncRateBytes: asked.resyncRateBytes ?? null,
    returnHoldMs: asked.returnHoldMs ?? null,
    quorum: asked.quorum ?? 'none',
    witness: asked.witness ?? false,
  };
}

/** Refuses what contradicts the cluster that is there. Throws CONFLICT with both values. */
export function refuseContradiction(directory: string, existing: ClusterOptions, asked: AskedOptions): void {
  const problems: string[] = [];
  for (const key of Object.keys(FLAG_TEXTS) as (keyof ClusterOptions)[]) {
    const wanted = asked[key];
    if (wanted === undefined) continue;
    const [is, wants] = [FLAG_TEXTS[key](existing), FLAG_TEXTS[key]({ ...existing, ...asked } as ClusterOptions)];
    if (is !== wants) problems.push(`it was created with "${is}", and "${wants}" is asked for`);
  }
  if (problems.length === 0) return;
  throw new OperationError(
    'CONFLICT',
    `the cluster in ${directory} is another one: ${problems.join('; ')}. Leave the option out to reopen it, or choose another --dir`,
  );
}

const FLAG_TEXTS: { readonly [Key in keyof ClusterOptions]: (options: ClusterOptions) => string } = {
  storageNodes: (options) => `--storage-nodes ${options.storageNodes}`,
  replicas: (options) => `--replicas ${options.replicas}`,
  clientNodes: (options) => `--client-nodes ${options.clientNodes}`,
  sizeBytes: (options) => `--size ${options.sizeBytes}`,
  chunkSizeBytes: (options) => `--chunk-size ${options.chunkSizeBytes}`,
  transport: (options) => `--transport ${options.transport}`,
  paths: (options) => `--paths ${options.paths}`,
  nbd: ({ nbd: endpoint }) => {
    switch (endpoint.kind) {
      case 'socket':
        return `--nbd-socket ${endpoint.path}`;
      case 'port':
        return `--nbd-port ${endpoint.port}`;
      case 'own-socket':
        return 'an NBD socket of its own';
    }
  },
  volatileCache: (options) => (options.volatileCache ? '--volatile-cache' : 'stores without a volatile cache'),
  resyncRateBytes: ({ resyncRateBytes }) => (resyncRateBytes === null ? 'the default rate of resync' : `--resync-rate ${resyncRateBytes}`),
  returnHoldMs: ({ returnHoldMs }) => (returnHoldMs === null ? 'the default hold of a return' : `--return-hold ${returnHoldMs}ms`),
  quorum: (options) => `--quorum ${options.quorum}`,
  witness: (options) => (options.witness ? '--witness' : 'no witness'),
};

function wholeNumber(flag: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new OperationError('INVALID_ARGUMENT', `${flag} "${text}": write a whole number from ${min} to ${max}`);
  }
  return value;
}

function duration(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof OperationError) throw new OperationError('INVALID_ARGUMENT', `${flag}: ${error.message}`, { cause: error });
    throw error;
  }
}

function size(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    return parseSize(text);
  } catch (error) {
    if (error instanceof OperationError) throw new OperationError('INVALID_ARGUMENT', `${flag}: ${error.message}`, { cause: error });
    throw error;
  }
}

function quorum(text: string | undefined): 'none' | 'majority' | undefined {
  if (text === undefined || text === 'none' || text === 'majority') return text;
  throw new OperationError('INVALID_ARGUMENT', `--quorum "${text}": write none or majority`);
}

function transport(text: string | undefined): 'tcp' | 'unix' | undefined {
  if (text === undefined || text === 'tcp' || text === 'unix') return text;
  throw new OperationError('INVALID_ARGUMENT', `--transport "${text}": write tcp or unix`);
}

function nbd(flags: UpFlags): NbdEndpoint | undefined {
  const port = wholeNumber('--nbd-port', flags.nbdPort, 1, 65_535);
  if (port !== undefined) return { kind: 'port', port };
  if (flags.nbdSocket === undefined) return undefined;
  const path = resolve(flags.nbdSocket);
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new OperationError(
      'INVALID_ARGUMENT',
      `--nbd-socket ${path}: the path of a socket has at most ${SOCKET_PATH_BYTES_MAX} bytes, this one has ${Buffer.byteLength(path)}; choose a shorter one`,
    );
  }
  return { kind: 'socket', path };
}
