import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, isUuid, OperationError, randomUuid } from '@rmr/runtime';
import { replaceFileDurably, SystemRandom } from '@rmr/runtime/node';

/** The identity by which its peers know this process. */
export interface HostIdentity {
  /** The host's lasting identity. */
  readonly hostUuid: string;
  /** Its name, for people. */
  readonly hostName: string;
  /** The kernel's boot id: another one means that unflushed data may be gone (L2). */
  readonly bootId: string;
  /** Drawn anew at every start of the process. */
  readonly incarnation: string;
}

const HOST_UUID_FILE = 'host-uuid';
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/** The part of a daemon's configuration that {@link loadHostIdentity} needs. */
export interface HostIdentityOptions {
  readonly name: string;
  readonly stateDir: string;
  readonly hostUuid?: string | undefined;
  readonly bootIdOverride?: string | undefined;
}

/**
 * The identity of this process. The host's UUID is the configured one. If none is configured, it is drawn at the first start, and kept in
 * the state directory. Throws INVALID_CONFIG when the directory can't be used, or when its file does not hold a UUID.
 */
export function loadHostIdentity(options: HostIdentityOptions): HostIdentity {
  const random = new SystemRandom();
  return {
    hostUuid: options.hostUuid ?? keptHostUuid(options.stateDir, () => randomUuid(random)),
    hostName: options.name,
    bootId: options.bootIdOverride ?? readFileSync(BOOT_ID_FILE, 'utf8').trim(),
    incarnation: randomUuid(random),
  };
}

function keptHostUuid(stateDir: string, draw: () => string): string {
  const path = join(stateDir, HOST_UUID_FILE);
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o750 });
    const kept = readIfThere(path);
    if (kept !== null) {
      if (isUuid(kept.trim())) return kept.trim();
      throw new OperationError(
        'INVALID_CONFIG',
        `${path} does not hold a UUID; restore it, or set hostUuid to what this host had before (peers know it by that)`,
      );
    }
    const drawn = draw();
    replaceFileDurably(path, `${drawn}\n`);
    return drawn;
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw new OperationError('INVALID_CONFIG', `stateDir: cannot use ${stateDir}: ${errorMessage(error)}`, { cause: error });
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
