import { hasInPast, type StoreMark } from '@rmr/rmr';
import { assert, formatSize, unreachable } from '@rmr/runtime';
import { type FoundStore, type PlaceContent, type Refusal, SECTOR_BYTES_MAX } from './disk-types.ts';
import { contentText } from './place-content.ts';

/**
 * Whether a disk may be used for something: pure decisions over what was found there. They come before every change, and are made once more when the disk is
 * claimed, so that nothing that came there meanwhile is overwritten.
 *
 * One rule is behind all of them: nothing that anybody may still need is destroyed by putting a store there. What is in the way is wiped by an
 * order of its own, which names it.
 */

/** `create`: for a new volume or a new member. `attach`: bring a store that is there into service. `replace`: a new store for a member that lost its own. */
export type StorePurpose = 'create' | 'attach' | 'replace';

/** The store that is wanted. */
export interface WantedStore {
  /** That of the new store, or of the one that is to be attached. */
  readonly storeUuid: string;
  readonly poolUuid: string;
  readonly poolName: string;
  readonly memberId: number;
  /** Bytes of the whole store, and of its metadata, which gets its space at once. See `storeBytes`. */
  readonly totalBytes: number;
  readonly metadataBytes: number;
  /** For `attach`: what others remember of the store (L8); absent: nothing. */
  readonly seen?: StoreMark;
  /** For `attach`: an older copy is wanted all the same. Its pool has it copied anew. */
  readonly acceptOlderCopy?: boolean;
  /** Put it on a disk that has another member of its pool. A failure of this disk then takes both. */
  readonly acceptSameDisk?: boolean;
}

/** The place for it. */
export interface CheckedPlace {
  /** The disk for people: `disk "a" (/dev/sdb)`. */
  readonly label: string;
  readonly content: PlaceContent;
  /** Why the disk can't be used at all; null: it can. */
  readonly unavailable: Refusal | null;
  /** What else uses it, to be read after "is"; null: nothing. */
  readonly use: string | null;
  /** The largest store that it can hold, in bytes. For a directory: what over-provisioning leaves. */
  readonly roomBytes: number;
  /** Free bytes, where the metadata of a store has to find its space now; null: the store takes the disk whole. */
  readonly freeBytes: number | null;
  /** Logical sector in bytes; null: a directory, or not known. */
  readonly sectorBytes: number | null;
  /** The other stores on it. */
  readonly neighbours: readonly { readonly poolUuid: string; readonly memberId: number }[];
}

/** Null: it may. Else why not. */
export function checkPlace(purpose: StorePurpose, place: CheckedPlace, wanted: WantedStore): Refusal | null {
  const { label, unavailable, use, sectorBytes } = place;
  if (unavailable !== null) return unavailable;
  if (use !== null)
    return refusal(
      'CONFLICT',
      `${label} is ${use}: a store would destroy that, or be destroyed. Take another disk, or release this one first`,
    );
  if (sectorBytes !== null && sectorBytes > SECTOR_BYTES_MAX)
    return refusal(
      'UNSUPPORTED',
      `${label} has sectors of ${sectorBytes} bytes, and the metadata of a store is safe on sectors of at most ${SECTOR_BYTES_MAX} bytes: two records would share one. Take another disk, or format this one to smaller sectors`,
    );
  return purpose === 'attach' ? checkAttach(place, wanted) : (checkTaken(purpose, place, wanted) ?? checkRoom(place, wanted));
}

/** Nothing may be there that a new store would destroy. */
function checkTaken(purpose: 'create' | 'replace', { label, content, neighbours }: CheckedPlace, wanted: WantedStore): Refusal | null {
  const holds = `${label} holds ${contentText(content)}`;
  switch (content.kind) {
    case 'empty':
    case 'unfinished':
      break;
    case 'wiping':
      if (content.storeUuid === wanted.storeUuid) return refusal('CONFLICT', `${holds}. Draw another UUID for the new store`);
      break;
    case 'store': {
      const { store } = content;
      const how = purpose === 'replace' ? 'Replacing' : 'Creating';
      return refusal(
        'ALREADY_EXISTS',
        `${holds}, which is ${ownerText(store, wanted)}. ${serviceText(store)}. ${how} a store here would destroy it, and what only it has would be lost for good. Take another disk; or, if nobody needs ${store.storeUuid} any more, wipe it first`,
      );
    }
    case 'damaged':
      return refusal(
        'STORE_DAMAGED',
        `${holds}: ${content.reason}. It may be the only copy of something: see first that its pool has everything in sync without it. Then wipe it, or take another disk`,
      );
    case 'cut':
      return refusal(
        'STORE_DAMAGED',
        `${holds}: ${content.reason}. What is there may be all that is left of something. Take another disk; or, if nobody needs it any more, wipe it first`,
      );
    case 'newer':
      return refusal('STORE_VERSION_UNKNOWN', `${holds}: ${content.reason}. Take another disk`);
    case 'foreign':
    case 'data':
      return refusal(
        'CONFLICT',
        `${holds}. A store would destroy it. Take another disk; or, if nobody needs what is there any more, erase it first (wipefs, blkdiscard)`,
      );
    case 'unreadable':
      return refusal(content.code, `${label} can't be looked at: ${content.reason}`);
    default:
      return unreachable(content);
  }
  const neighbour = neighbours.find(({ poolUuid, memberId }) => poolUuid === wanted.poolUuid && memberId !== wanted.memberId);
  if (neighbour !== undefined && wanted.acceptSameDisk !== true)
    return refusal(
      'CONFLICT',
      `${label} has member ${neighbour.memberId} of pool "${wanted.poolName}" already: with this disk both copies would be gone. Take a disk of another host`,
    );
  return null;
}

function ownerText({ poolUuid, poolName, memberId }: FoundStore, wanted: WantedStore): string {
  if (poolUuid !== wanted.poolUuid) return poolName === wanted.poolName ? 'another pool of the same name' : 'another pool';
  return memberId === wanted.memberId ? 'this very member' : 'another member of this pool';
}

function serviceText({ past }: FoundStore): string {
  if (past === null) return 'It may have been in service';
  return past.version === null ? 'It was never in service' : `It has recorded version ${past.version.epoch}.${past.version.seq}`;
}

function checkRoom({ label, roomBytes, freeBytes }: CheckedPlace, { totalBytes, metadataBytes }: WantedStore): Refusal | null {
  if (freeBytes === null) {
    if (roomBytes >= totalBytes) return null;
    return refusal(
      'STORE_TOO_SMALL',
      `${label} has ${roomBytes} bytes, and the store needs ${totalBytes} (${formatSize(totalBytes)}). Take a larger disk`,
    );
  }
  if (freeBytes < metadataBytes)
    return refusal(
      'NO_SPACE',
      `${label} has ${formatSize(freeBytes)} free, and the metadata of the store needs ${formatSize(metadataBytes)} at once. Free some space, or take another disk`,
    );
  if (roomBytes < totalBytes)
    return refusal(
      'NO_SPACE',
      `${label} has room for ${formatSize(Math.max(0, roomBytes))} more, and the store may grow to ${formatSize(totalBytes)}: with it the stores here could need more space than there is. Take another disk, make the file system larger, or allow more with overProvisioning in the configuration`,
    );
  return null;
}

/** The very store has to be there, and not an older copy of it. */
function checkAttach({ label, content }: CheckedPlace, wanted: WantedStore): Refusal | null {
  const holds = `${label} holds ${contentText(content)}`;
  const expected = `store ${wanted.storeUuid} of member ${wanted.memberId} of pool "${wanted.poolName}" (${wanted.poolUuid})`;
  const noStore = `not ${expected}. Attach the right disk, mount its file system, or correct the path. A new store never brings data back`;
  switch (content.kind) {
    case 'store': {
      const { store } = content;
      if (store.poolUuid !== wanted.poolUuid || store.storeUuid !== wanted.storeUuid || store.memberId !== wanted.memberId)
        return refusal(
          'STORE_FOREIGN',
          `${holds}, not ${expected}. Leave this store as it is: its own pool may need it. Attach the right disk`,
        );
      if (wanted.seen === undefined || wanted.acceptOlderCopy === true) return null;
      assert(store.past !== null, 'disk checks: what is attached was looked through');
      if (hasInPast(store.past, wanted.seen)) return null;
      return refusal(
        'CONFLICT',
        `${holds}, but an older copy of it: others remember it at age ${wanted.seen.age} in life ${wanted.seen.lifeUuid}, and this one has not been through that. Look for the newer one. If there is none, attach this one all the same: its pool copies everything to it anew`,
      );
    }
    case 'damaged':
      return refusal('STORE_DAMAGED', `${holds}: ${content.reason}`);
    case 'cut':
      return refusal('STORE_TOO_SMALL', `${holds}: ${content.reason}`);
    case 'newer':
      return refusal('STORE_VERSION_UNKNOWN', `${holds}: ${content.reason}`);
    case 'empty':
    case 'unfinished':
    case 'wiping':
    case 'foreign':
    case 'data':
      return refusal('STORE_NOT_FORMATTED', `${holds}, ${noStore}`);
    case 'unreadable':
      return refusal(content.code, `${label} can't be looked at: ${content.reason}`);
    default:
      return unreachable(content);
  }
}

function refusal(code: Refusal['code'], sentence: string): Refusal {
  return { code, sentence };
}
