import { isUuid } from '@rmr/runtime';
import { z } from 'zod';
import type { Refusal } from './disk-types.ts';

/**
 * How a directory is known again. An empty directory where a file system should be mounted looks like a new disk. Stores that were
 * made there would fill the root file system, and those that are missing would be looked for elsewhere. So at the first use the storage node
 * leaves a file with a UUID in the directory, and remembers that UUID in its own state. From then on the directory counts only
 * while it has that very file.
 */

/** The file's name, in the directory. */
export const MARKER_NAME = '.rmr-disk.json';

const markerSchema = z.strictObject({
  version: z.literal(1),
  /** The directory, drawn at random at its first use. */
  directoryUuid: z.string().refine(isUuid),
});

/** The UUID in the text of a marker; null: it is none that this program knows. */
export function parseMarker(text: string): string | null {
  try {
    const parsed = markerSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data.directoryUuid : null;
  } catch {
    // No JSON: damaged, or something else of that name.
    return null;
  }
}

export function markerText(directoryUuid: string): string {
  return `${JSON.stringify({ version: 1, directoryUuid })}\n`;
}

/** What was found in place of the marker: its UUID, nothing, or something that makes no sense. */
export type FoundMarker = { readonly directoryUuid: string } | 'absent' | 'damaged';

/** What the directory counts as. `new`: it was never used. `adopt`: its UUID is to be remembered. */
export type DirectoryVerdict = 'known' | 'new' | 'adopt' | Refusal;

/**
 * Decides by the UUID that is remembered for the disk (null: none) and by what is found. `others`: what is remembered for the other disks, by
 * UUID. `where`: the directory and the file system that it is on, for people.
 */
export function directoryVerdict(
  remembered: string | null,
  found: FoundMarker,
  others: ReadonlyMap<string, string>,
  where: { readonly label: string; readonly path: string; readonly mountedAt: string | null },
): DirectoryVerdict {
  const { label, path, mountedAt } = where;
  const marker = `${path}/${MARKER_NAME}`;
  const on = mountedAt === null ? '' : `; the directory is on the file system that is mounted at ${mountedAt}`;
  if (found === 'damaged')
    return {
      code: 'UNAVAILABLE',
      sentence: `${label} can't be used: ${marker} is damaged, or of a newer program, so nobody can say whether this is the right directory${on}. Check the file system; if it is the right one, remove that file${remembered === null ? '' : `, and write it anew as ${markerText(remembered).trim()}`}`,
    };
  if (found === 'absent') {
    if (remembered === null) return 'new';
    return {
      code: 'UNAVAILABLE',
      sentence: `${label} can't be used: ${marker} is missing, which this node has written there, so its file system is not mounted, or another one is${on}. Mount the right one. If the stores are in this directory and that file alone was lost, write it anew as ${markerText(remembered).trim()}`,
    };
  }
  const { directoryUuid } = found;
  const other = others.get(directoryUuid);
  if (other !== undefined)
    return {
      code: 'CONFLICT',
      sentence: `${label} can't be used: it is the directory of disk "${other}", or a copy of it. Correct the path of one of the two, or take the copy away`,
    };
  if (remembered === null) return 'adopt';
  if (remembered === directoryUuid) return 'known';
  return {
    code: 'UNAVAILABLE',
    sentence: `${label} can't be used: it is another directory than the one that was used under this name (${directoryUuid} in ${marker}, and not ${remembered})${on}. Mount the right file system, or give this one a name of its own in the configuration`,
  };
}
