import type { Cleanup } from './cleanup.ts';
import type { FioTarget } from './fio.ts';

/** What is measured: a running system with a device. */
export interface Subject {
  readonly name: string;
  /** One line for the report: what it is, and how it is configured. */
  readonly description: string;
  /** Copies of the data. */
  readonly replicas: number;
  readonly target: FioTarget;
  readonly processes: readonly SubjectProcess[];
  /** Milliseconds until it served, by kind of start: `new device`, `existing device`. */
  readonly startUpMs: Readonly<Record<string, number>>;
}

/** One daemon of a subject. */
export interface SubjectProcess {
  /** `client`: what the NBD client talks to and what replicates; `storage`: what owns an image. */
  readonly role: 'client' | 'storage';
  readonly name: string;
  readonly pid: number;
}

/** What a subject is given to be started with. */
export interface SubjectEnvironment {
  /** An empty folder of its own, on the medium that is measured. */
  readonly folder: string;
  readonly sizeBytes: number;
  readonly cleanup: Cleanup;
  readonly signal: AbortSignal;
}

/** A subject that can be started here. */
export interface SubjectKind {
  readonly name: string;
  /** Bytes on the medium for a device of `sizeBytes`, as a multiple of it. */
  readonly copies: number;
  /** Why it can't be measured here, or null when it can. */
  missing(): string | null;
  start(environment: SubjectEnvironment): Promise<Subject>;
}

/** Names of subjects that are this project start with this; the number of replicas follows. */
export const OUR_NAME_PREFIX = 'rmr ×';

/** Whether a subject of this name is this project and no peer. */
export function isOurs(name: string): boolean {
  return name.startsWith(OUR_NAME_PREFIX);
}
