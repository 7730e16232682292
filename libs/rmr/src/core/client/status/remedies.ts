import type { ControlFailure } from '../../../wire/control-message.ts';
import type { Leg } from '../legs/leg.ts';

/**
 * What a person can do. A person that reads one of these sentences may do exactly what it says, even in the worst case that shows it. No
 * sentence tells anybody to create a store, or to put one back, without saying which store that is and what happens to its data.
 */

/** What a person can do so that these members take part, in whole sentences. Undefined if nothing is known that would help. */
export function remedyFor(legs: readonly Leg[], inMaintenance: (leg: Leg) => boolean = () => false): string | undefined {
  const sentences: string[] = [];
  const away = legs.filter((leg) => !leg.connected);
  if (away.length > 0) sentences.push(bringBack(away.map((leg) => leg.member.name)));
  for (const leg of legs) {
    if (!leg.connected) continue;
    if (inMaintenance(leg)) sentences.push(`End the maintenance of ${leg.member.name} where it was begun: there is no command for it yet.`);
    else if (leg.remedy !== '' && !sentences.includes(leg.remedy)) sentences.push(leg.remedy);
  }
  return sentences.length === 0 ? undefined : sentences.join(' ');
}

/** What helps if storage nodes can't be reached. */
export function bringBack(names: readonly string[]): string {
  return names.length === 1
    ? `Start ${names[0]} or its host, or mend the network to it, unless it comes back by itself.`
    : `Start ${names.join(' and ')} or their hosts, or mend the network to them, unless they come back by themselves.`;
}

/** What helps if a member answers only now and then. */
export function remedyForStalls(name: string): string {
  return `Look at the load, the disk and the network of ${name}: it stops answering, or answers late, again and again.`;
}

/** What helps if a member has refused a request. Empty if nothing is known that would help. */
export function remedyForFailure(name: string, failure: Pick<ControlFailure, 'code' | 'promise'> | null): string {
  switch (failure?.code) {
    case 'UNKNOWN_POOL':
      return `Look at the stores in the status of ${name}: it says why the store of this pool is not open there. Mount its file system or attach its disk. An empty store in its place does not bring its data back.`;
    case 'STORE_ERROR':
      return `Check the disk of the store on ${name}, its space and the kernel log.`;
    case 'HELD':
      return failure.promise === null ? '' : stopOther(failure.promise.clientName);
    default:
      return '';
  }
}

/** What helps if a member is out of space. */
export function remedyForFullDisk(name: string): string {
  return `Free space on the file system of the store on ${name}, or make it larger: not in the store itself. The member comes back by itself when there is enough.`;
}

/** What helps if another client serves the pool. */
export function stopOther(clientName: string): string {
  return `Stop ${clientName} if this node is to serve the pool instead.`;
}

/** What helps if a member answers with a store that does not fit. */
export function remedyForUnfit(name: string): string {
  return `Look which disk and which store are meant to be on ${name}: correct the addresses in this node's configuration if they lead to the wrong node, or the stores in the configuration of ${name} if it has opened the wrong one.`;
}

/** What helps if a pool has never been in service. */
export function orderBirth(poolName: string): string {
  return (
    `If this pool is new, create it: client-node create --pool ${poolName}. ` +
    'If it has had data, do not: the stores that have it are elsewhere. Look for them, and for members that this node does not name.'
  );
}

/** What helps if one member knows that the pool had data, and the members that answer have empty stores. */
export function remedyForLostBirth(knownBy: string): string {
  return `The pool is not new, as ${knownBy} knows: do not create it. Look for the stores that its members had: mount their file systems, attach their disks, or correct the addresses.`;
}

/** What helps if the store of a member went back in time. */
export function remedyForRolledBack(): string {
  return (
    'Change nothing at this store before all other members are back: one of them may know more. As soon as the others serve the pool, the member is copied anew from them by itself. ' +
    'If they do not, and a newer store of this member exists, stop its storage node, put that store in the place of this one, and keep both. ' +
    'If none exists, an operator has to force the pool into service: client-node force says what would be lost.'
  );
}

/** What helps if a store went back in time and answers elsewhere than where the pool knows its member. */
export function remedyForMovedBack(poolName: string, memberId: number): string {
  return (
    'Look first for the store at the address where the pool knew this member: if it is there, start its storage node, and stop this one. ' +
    `If it is lost, have this one copied from the others: client-node copy-anew --pool ${poolName} --member ${memberId}.`
  );
}

/**
 * What helps if a store went back in time, or is to be copied anew, and the others lack chunks that the pool knows this store to have
 * had.
 */
export function remedyForLastCopies(poolName: string, memberId: number): string {
  return (
    'Bring back the other members first, and the store that this member had last, if it still exists. ' +
    `If that is lost for good: client-node copy-anew --pool ${poolName} --member ${memberId} --give-up-last-copies; what only it had is lost then, and status counts it.`
  );
}

/** What helps if a member answers with a new, empty store. */
export function remedyForEmptyStore(poolName: string, memberId: number): string {
  return (
    'If the store that this member had still exists, have its storage node open that one: mount its file system or attach its disk. ' +
    `If it is lost, this one takes its place, and everything is copied to it: client-node replace-store --pool ${poolName} --member ${memberId}.`
  );
}

/** What helps if one store or one host is there twice. */
export function remedyForTwins(): string {
  return (
    'If one is a copy of the other, find out which one was in service last, and stop the storage node of the other for good. ' +
    'If they are two hosts that were made from one template, each with a store of its own, remove the file host-uuid from the state directory of one of them, and restart it.'
  );
}

/** What helps if two histories of one pool are there. Without `memberId`: at assembly, when none of them is served. */
export function remedyForLineages(poolName?: string, memberId?: number): string {
  const find = 'Find out which members have the data that counts, by their dates and by what they hold';
  return memberId === undefined
    ? `${find}; then stop the storage nodes of the others. When these come back, they are refused until an operator has them copied anew, which destroys what only they have.`
    : `${find}. If those that are served now have it: client-node copy-anew --pool ${poolName} --member ${memberId}, which destroys what only this member has. If this member has it, stop the client node first, and then the storage nodes of the others.`;
}

/** What helps if a member returns with a history that has left behind the one that is served. */
export function remedyForNewerLineage(): string {
  return (
    'This client serves the history that a forced start has left behind: stop it, and find out which of the two has the data that counts. ' +
    'A client that is started with all members goes on with the newer history, and copies it over the other.'
  );
}

/** What helps if two stores of one pool differ in size. */
export function remedyForOddGeometry(name: string, other: string): string {
  return `One of ${name} and ${other} has opened a store that is not of this pool's making: stop that storage node, or correct the stores in its configuration.`;
}
