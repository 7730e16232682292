import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { NBDKIT_FILE, nbdkitUri } from './peer-subjects.ts';
import { findProgram, runToEnd } from './processes.ts';
import type { SubjectEnvironment } from './subject.ts';

/** Images that {@link startCopy} makes. */
export const COPY_IMAGES = 2;

/** Why nbdcopy can't be measured here, or null when it can. */
export function whyNoCopy(): string | null {
  return findProgram('nbdcopy') === null ? 'nbdcopy is not installed' : NBDKIT_FILE.missing();
}

/**
 * Starts two nbdkit file servers on images of random data. Returns what copies all of one image to the other with nbdcopy,
 * and says how many bytes per second that were, the start of nbdcopy included.
 */
export async function startCopy(environment: SubjectEnvironment): Promise<() => Promise<number>> {
  const { sizeBytes, signal } = environment;
  const uris: string[] = [];
  for (const end of ['from', 'to']) {
    const folder = join(environment.folder, end);
    mkdirSync(folder);
    await NBDKIT_FILE.start({ ...environment, folder });
    uris.push(nbdkitUri(folder));
  }
  return async () => {
    const startedMs = performance.now();
    await runToEnd('nbdcopy', uris, signal);
    return (sizeBytes / (performance.now() - startedMs)) * 1000;
  };
}
