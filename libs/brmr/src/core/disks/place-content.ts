import { storeRemains } from '@rmr/bitmap-store';
import { OperationError } from '@rmr/runtime';
import type { DiskSample } from './disk-sample.ts';
import type { FoundStore, PlaceContent } from './disk-types.ts';
import { foreignFindings } from './signatures.ts';

/**
 * Says what is at a place, from what its head and tail hold and from what looking for a store there has found. In doubt there is something:
 * only what reads as zeroes at both ends counts as empty.
 */
export function contentOf(inspection: FoundStore | OperationError, sample: DiskSample | null): PlaceContent {
  if (!(inspection instanceof OperationError)) return { kind: 'store', store: inspection };
  const { code, message: reason } = inspection;
  switch (code) {
    case 'STORE_DAMAGED':
      return { kind: 'damaged', reason };
    case 'STORE_TOO_SMALL':
      return { kind: 'cut', reason };
    case 'STORE_VERSION_UNKNOWN':
      return { kind: 'newer', reason };
    case 'STORE_NOT_FORMATTED':
      return sample === null ? { kind: 'unreadable', code, reason } : withoutStore(sample);
    default:
      return { kind: 'unreadable', code, reason };
  }
}

function withoutStore(sample: DiskSample): PlaceContent {
  const { firstData } = sample;
  if (firstData === null) return { kind: 'empty' };
  const remains = storeRemains(sample.head);
  if (remains !== null) return remains;
  const findings = foreignFindings(sample);
  return findings.length > 0 ? { kind: 'foreign', findings } : { kind: 'data', offsetBytes: firstData };
}

/** What is there, for people, to be read after "holds" or "there is". */
export function contentText(content: PlaceContent): string {
  switch (content.kind) {
    case 'empty':
      return 'nothing';
    case 'store': {
      const { storeUuid, memberId, poolName, poolUuid } = content.store;
      return `the store ${storeUuid} of member ${memberId} of pool "${poolName}" (${poolUuid})`;
    }
    case 'damaged':
      return 'a store that is damaged';
    case 'cut':
      return 'a store that ends too early';
    case 'newer':
      return 'a store of a format that this program does not know';
    case 'wiping':
      return `the rest of store ${content.storeUuid}, the wiping of which has not ended`;
    case 'unfinished':
      return 'a store that was never finished and holds nothing';
    case 'foreign':
      return content.findings.map(({ name }) => name).join(' and ');
    case 'data':
      return `data of an unknown kind, from offset ${content.offsetBytes} on`;
    case 'unreadable':
      return 'something that can not be read';
  }
}
