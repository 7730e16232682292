import type { ControlFailure } from '../../wire/control-message.ts';
import type { Leg } from './leg.ts';

/** What a person can do so that these members take part, in whole sentences; undefined: nothing, as far as is known. */
export function remedyFor(legs: readonly Leg[], inMaintenance: (leg: Leg) => boolean = () => false): string | undefined {
  const sentences: string[] = [];
  const away = legs.filter((leg) => !leg.connected);
  if (away.length > 0) sentences.push(bringBack(away.map((leg) => leg.member.name)));
  for (const leg of legs) {
    if (!leg.connected) continue;
    if (inMaintenance(leg)) sentences.push(`End the maintenance of ${leg.member.name} where it was begun: there is no command for it yet.`);
    else if (leg.remedy !== '') sentences.push(leg.remedy);
  }
  return sentences.length === 0 ? undefined : sentences.join(' ');
}

/** What helps where storage nodes can't be reached. */
export function bringBack(names: readonly string[]): string {
  return names.length === 1
    ? `Start ${names[0]} or its host, or mend the network to it, unless it comes back by itself.`
    : `Start ${names.join(' and ')} or their hosts, or mend the network to them, unless they come back by themselves.`;
}

/** What helps where a member has refused something; empty: nothing, as far as is known. */
export function remedyForFailure(name: string, failure: Pick<ControlFailure, 'code' | 'promise'> | null): string {
  switch (failure?.code) {
    case 'UNKNOWN_POOL':
      return `Open the store of this pool on ${name}: its status says under "stores" why it is not open there, if it is configured.`;
    case 'STORE_ERROR':
      return `Check the disk of the store on ${name}, its space and the kernel log.`;
    case 'HELD':
      return failure.promise === null ? '' : stopOther(failure.promise.clientName);
    default:
      return '';
  }
}

/** What helps where another client serves the pool. */
export function stopOther(clientName: string): string {
  return `Stop ${clientName} if this node is to serve the pool instead.`;
}

/** What helps where a member answers and has a store that does not fit. */
export function remedyForUnfit(name: string): string {
  return `Bring the store that belongs there back to ${name}, or correct the configuration of ${name} or of this node, and restart what was corrected.`;
}
