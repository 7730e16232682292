import type { ProbeResult } from '../../../wire/control-message.ts';
import { servedByAnother } from '../recovery/assemble-rule.ts';
import { findRolledBack, type RolledBack } from '../return/rolled-back.ts';
import { remedyForRolledBack, remedyForTwins } from '../status/remedies.ts';
import type { VersionMemory } from '../versions/versions.ts';
import type { Leg } from './leg.ts';

/**
 * Members whose answers to a probe do not count. They take no part in this attempt to bring the pool into service, and their legs say
 * why.
 */

/** L9: if a store or a host is there twice, neither of the two is believed. */
export function setTwinsAside(legs: readonly Leg[], twice: (leg: Leg) => string): void {
  const twins = legs.map((leg) => ({ leg, why: leg.probe === null ? '' : twice(leg) })).filter(({ why }) => why !== '');
  for (const { leg, why } of twins) {
    leg.probe = null;
    leg.problem = why;
    leg.remedy = remedyForTwins();
  }
}

/**
 * L8: the members whose stores went back in time, as far as probes show. `all` have been probed; the witness may be among them. `legs`
 * lead to all members. `known`: what this client knew when it asked.
 */
export function rolledBackLegs(
  all: readonly Leg[],
  legs: readonly Leg[],
  lineage: string,
  known: VersionMemory | null,
  clientInstance: string,
): ReadonlyMap<Leg, RolledBack> {
  // While another client is served, stores become older between two answers. The grants decide then.
  if (servedByAnother(all, clientInstance) !== null) return new Map();
  const answers = new Map(all.map((leg) => [leg, leg.probe as ProbeResult]));
  return findRolledBack(answers, lineage, known, legs);
}

/** L8: sets aside the members whose stores went back in time. Returns them with their answers. */
export function setRolledBackAside(rolledBack: ReadonlyMap<Leg, RolledBack>): ReadonlyMap<Leg, ProbeResult> {
  const aside = new Map<Leg, ProbeResult>();
  for (const [leg, found] of rolledBack) {
    aside.set(leg, leg.probe as ProbeResult);
    leg.probe = null;
    leg.problem = `${leg.describe()} ${found.why}`;
    leg.remedy = remedyForRolledBack();
    leg.rolledBack = found;
  }
  return aside;
}
