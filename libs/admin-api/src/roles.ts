/**
 * What whoever calls a daemon may do. A role may do all that the roles before it may.
 *
 * - `viewer` looks, and changes nothing.
 * - `operator` changes what can't lose data: maps, unmaps, maintenance, resync, new volumes.
 * - `admin` decides what may lose data: deletes, gives up last copies, forces.
 */
export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Whoever made a request: a name for the log and for events, and its role. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
}

/** Whether `role` may do what `needed` may. */
export function mayAct(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
