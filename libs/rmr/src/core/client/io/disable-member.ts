import type { Logger } from '@rmr/runtime';
import { emptyResultSchema } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';

/** Tells a member, if it can be reached, that it is out of the set (L1). */
export function disableMember(leg: Leg, poolUuid: string, epoch: number, log: Logger): void {
  if (!leg.connected) return;
  leg.call({ op: 'disable', poolUuid, epoch }, emptyResultSchema, (_result, failure) => {
    if (failure === null) return;
    const fields = { member: leg.member.memberId, node: leg.member.name, reason: failure.message };
    log.warn('a member that left the in-sync set could not be told', fields);
  });
}
