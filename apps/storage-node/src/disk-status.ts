// The disks of this node as the admin interface shows them.
import type { DiskStatus } from '@rmr/admin-api';
import { placeText } from '@rmr/brmr';
import type { DiskReport } from '@rmr/brmr/node';

/** `isAttached`: whether this node has the store in service. */
export function diskStatusOf(report: DiskReport, isAttached: (storeUuid: string) => boolean): DiskStatus {
  const { spec, capacityBytes, freeBytes, promisedBytes, model, serial, foreign, health } = report;
  return {
    ...{ name: spec.name, kind: spec.place.kind, place: placeText(spec.place), spare: spec.spare },
    ...{ capacityBytes, freeBytes, promisedBytes, model, serial, foreign, health },
    stores: report.places.flatMap(({ content, allocatedBytes }) => {
      if (content.kind !== 'store') return [];
      const { storeUuid, poolUuid, poolName, memberId, sizeBytes } = content.store;
      return [{ storeUuid, poolUuid, poolName, memberId, sizeBytes, allocatedBytes, attached: isAttached(storeUuid) }];
    }),
  };
}
