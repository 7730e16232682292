import { DirtyMap } from '@rmr/dirty-map';
import type { World } from '@rmr/runtime';
import type { VersionRecord } from '../../../pool-store.ts';
import { formatVersion } from '../../../version.ts';
import { type ClaimResult, emptyResultSchema, recordedResultSchema } from '../../../wire/control-message.ts';
import { tellAsked } from '../legs/asked-legs.ts';
import type { Leg } from '../legs/leg.ts';
import { MapSpread } from '../return/map-spread.ts';
import { remedyForFailure } from '../status/remedies.ts';
import { dataMembers } from '../versions/member-records.ts';
import type { FirstVersion } from './first-version.ts';

/**
 * Makes the first version of an epoch durable on all members of its set. It stages the maps, has the version recorded (by the witness
 * last), and enables the members. Each step begins when the one before has succeeded on all members. The first failure ends it. A
 * witness that does not record the version is no failure.
 */
export class FirstRecord {
  readonly #log: World['log'];
  readonly #host: FirstRecordHost;
  readonly #first: FirstVersion;
  readonly #spreads: readonly MapSpread[];
  /** The legs on which maps are staged. */
  readonly #staging: readonly Leg[];
  #ended = false;

  /** `claims`: what each leg of the set has granted. It says which columns the member has. */
  constructor(log: World['log'], host: FirstRecordHost, first: FirstVersion, claims: ReadonlyMap<Leg, ClaimResult>) {
    this.#log = log;
    this.#host = host;
    this.#first = first;
    const { legs, members, maps, version } = first;
    const empty = new DirtyMap(maps.chunkCount).digest();
    // A member is sent only the columns that differ from the assembled ones.
    const staging: Leg[] = [];
    this.#staging = staging;
    this.#spreads = legs.map((leg) => {
      const held = new Map((claims.get(leg) as ClaimResult).columns.map((column) => [column.memberId, column.digest]));
      const differing = dataMembers(members)
        .map((member) => member.memberId)
        .filter((memberId) => (held.get(memberId) ?? empty) !== maps.of(memberId).digest());
      if (differing.length > 0) staging.push(leg);
      return new MapSpread(leg, host.poolUuid, version.epoch, maps, differing);
    });
  }

  /** Begins. Called once. */
  start(): void {
    let left = this.#spreads.length;
    const answered = this.#step(this.#staging, (names) => `the dirty maps to be taken over by ${names}`);
    for (const spread of this.#spreads) {
      spread.run((failure) => {
        if (this.#ended) return;
        if (failure !== null) {
          this.#fail(failure);
          return;
        }
        answered(spread.leg);
        if (--left === 0) this.#recordAll();
      });
    }
  }

  /** Ends the record. Answers are ignored from now on. */
  cancel(): void {
    this.#ended = true;
    for (const spread of this.#spreads) spread.cancel();
  }

  #fail(why: string, remedy = ''): void {
    this.cancel();
    if (remedy === '') this.#host.onFailed(why);
    else this.#host.onFailed(why, remedy);
  }

  /** These legs have been asked. Returns a function to be called with each leg that has answered. */
  #step(legs: readonly Leg[], what: (names: string) => string): (answered: Leg) => void {
    return tellAsked(legs, what, (text, narrows) => this.#host.onStep(text, narrows));
  }

  /** These legs are to record the version. Returns a function to be called with each leg that has. */
  #recorders(legs: readonly Leg[]): (answered: Leg) => void {
    return this.#step(legs, (names) => `version ${formatVersion(this.#first.version)} to be recorded by ${names}`);
  }

  #recordAll(): void {
    const { legs, version, witness } = this.#first;
    this.#host.onAttempt(version);
    let recorded = 0;
    const answered = this.#recorders(legs);
    for (const leg of legs) {
      this.#record(leg, (failure, remedy) => {
        if (this.#ended) return;
        if (failure !== null) {
          this.#fail(failure, remedy);
          return;
        }
        answered(leg);
        if (++recorded < legs.length) return;
        if (witness === null) this.#enableAll(false);
        else this.#recordOnWitness(witness);
      });
    }
  }

  /** The witness records last, so that a version that it knows of is durable on the set. */
  #recordOnWitness(witness: Leg): void {
    const { version } = this.#first;
    this.#recorders([witness]);
    this.#record(witness, (refused) => {
      if (this.#ended) return;
      if (refused !== null) {
        this.#log.warn('the witness did not record a version', {
          node: witness.member.name,
          version: formatVersion(version),
          reason: refused,
        });
      }
      this.#enableAll(refused === null);
    });
  }

  #record(leg: Leg, done: (failure: string | null, remedy: string) => void): void {
    const { version, members, policy, maps, foreign, erase } = this.#first;
    const voteOnly = leg === this.#first.witness;
    leg.call(
      {
        op: 'record-version',
        poolUuid: this.#host.poolUuid,
        epoch: version.epoch,
        version: { ...version, inSync: [...version.inSync] },
        members: members.map((member) => ({ ...member, addresses: [...member.addresses] })),
        policy: { ...policy, formerLineages: [...policy.formerLineages] },
        newLineage: foreign.includes(leg) || voteOnly,
        mapAdds: [],
        mapKnown: [],
        mapErase: voteOnly ? [] : [...erase],
        maps: voteOnly ? [] : dataMembers(members).map(({ memberId }) => ({ memberId, digest: maps.of(memberId).digest() })),
      },
      recordedResultSchema,
      (result, failure) =>
        done(
          result === null ? (failure?.message ?? `${leg.describe()} to record version ${formatVersion(version)}`) : null,
          remedyForFailure(leg.member.name, failure?.failure ?? null),
        ),
    );
  }

  #enableAll(witnessRecorded: boolean): void {
    const { legs, version } = this.#first;
    const { poolUuid } = this.#host;
    let enabled = 0;
    const answered = this.#step(legs, (names) => `${names} to be enabled`);
    for (const leg of legs) {
      leg.call({ op: 'enable', poolUuid, epoch: version.epoch, versionSeq: version.seq }, emptyResultSchema, (result, failure) => {
        if (this.#ended) return;
        if (result === null) {
          this.#fail(failure?.message ?? `${leg.describe()} to be enabled`, remedyForFailure(leg.member.name, failure?.failure ?? null));
          return;
        }
        answered(leg);
        if (++enabled < legs.length) return;
        this.#ended = true;
        this.#host.onEnabled(witnessRecorded);
      });
    }
  }
}

/** What {@link FirstRecord} needs from its caller. */
export interface FirstRecordHost {
  readonly poolUuid: string;
  /** Called before this version is sent to members: from now on a member may have recorded it (V4). */
  onAttempt(version: VersionRecord): void;
  /**
   * The version is durable on its whole in-sync set, and all members of the set are enabled. Called once, and nothing is called after
   * it.
   */
  onEnabled(witnessRecorded: boolean): void;
  /** A step failed. Called once, and nothing is called after it. `remedy`: what a person can do about it. */
  onFailed(why: string, remedy?: string): void;
  /** Says what the record waits for, for people. `narrows`: it is a part of what it waited for before. */
  onStep(what: string, narrows: boolean): void;
}
