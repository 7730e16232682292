/**
 * Production code with one rule broken each. The simulator has to catch every one of them: a mutant that nothing catches
 * means that a workload, a fault or a check is missing. `find` stands exactly once in `file`.
 */
export interface Mutant {
  readonly name: string;
  /** The rule of docs/protocol.md that it breaks. */
  readonly rule: string;
  /** Relative to the root of the repository. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Seeds, from 1 on, within which it must be caught. */
  readonly seeds: number;
}

const ENGINE = 'libs/rmr/src/core/client/io-engine.ts';
const RECOVERY = 'libs/rmr/src/core/client/recovery.ts';
const RECONCILER = 'libs/rmr/src/core/client/reconciler.ts';
const POOL_CLIENT = 'libs/rmr/src/core/client/pool-client.ts';
const POOL_SERVER = 'libs/rmr/src/core/server/pool-server.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'reconciliation copies nothing',
    rule: 'I2',
    file: RECONCILER,
    find: 'if (others.length > 0) {',
    replace: 'if (others.length > 99) {',
    seeds: 200,
  },
  {
    name: 'lastIo is not recorded',
    rule: 'W3 ◆2',
    file: POOL_SERVER,
    find: 'this.#store.recordLastIo(message.memId, message.writeSeq, message.offsetBytes, message.lengthBytes);',
    replace: '',
    seeds: 200,
  },
  {
    name: 'the write intent of members that lost power is ignored',
    rule: 'W3 ◆4',
    file: RECOVERY,
    find: 'if (result.volatileLost) suspects.push(...result.intent);',
    replace: '',
    seeds: 400,
  },
  {
    name: 'a write completes while a version change is pending',
    rule: 'W5 ◆6',
    file: ENGINE,
    find: 'if (this.#frozen || !isLegWide(request)) return;',
    replace: 'if (!isLegWide(request)) return;',
    seeds: 200,
  },
  {
    name: 'a shrink is relied on before it is durable',
    rule: 'V2 ◆10',
    file: POOL_CLIENT,
    find: '    let left = stay.length;\n',
    replace:
      '    let left = stay.length;\n    this.#version = version;\n    this.#engine.setVersion(this.#epoch, version.seq, this.#missingMembers());\n',
    seeds: 400,
  },
  {
    name: 'a pool is assembled without its whole in-sync set',
    rule: 'assemble rule',
    file: RECOVERY,
    find: 'leg.problem);\n    }\n    if (missing.length > 0) {',
    replace: 'leg.problem);\n    }\n    if (missing.length > 0 && needed.length === 0) {',
    seeds: 200,
  },
  {
    name: 'overlapping requests are not held',
    rule: 'W1',
    file: ENGINE,
    find: 'if (request.type !== MessageType.FLUSH && this.#overlapsWrite(request)) {',
    replace: 'if (request.type !== MessageType.FLUSH && request.lengthBytes < 0) {',
    seeds: 50,
  },
  {
    name: 'a grant does not wait for what is executing',
    rule: 'C2, I7',
    file: POOL_SERVER,
    find: '    if (this.#executing === 0) {\n      done();',
    replace: '    if (this.#executing >= 0) {\n      done();',
    seeds: 400,
  },
  {
    name: 'a stale epoch is served',
    rule: 'I7',
    file: POOL_SERVER,
    find: 'if (message.epoch !== this.#servedEpoch)',
    replace: 'if (message.epoch > 4_000_000_000)',
    seeds: 200,
  },
  {
    name: 'FUA is answered without a flush',
    rule: 'I1',
    file: POOL_SERVER,
    find: '& IoFlag.FUA) !== 0 && isWriteType',
    replace: '& IoFlag.FUA) === 99 && isWriteType',
    seeds: 50,
  },
  {
    name: 'a flush reaches one leg only',
    rule: 'I1',
    file: ENGINE,
    find: '    const mask = this.#routeMask;\n    for (let index = 0',
    replace:
      '    const mask = request.type === MessageType.FLUSH ? this.#routeMask & -this.#routeMask : this.#routeMask;\n    for (let index = 0',
    seeds: 200,
  },
  {
    name: 'reconciliation does not flush',
    rule: 'I1, reconciliation',
    file: RECONCILER,
    find: '    this.#flushing = true;\n',
    replace: '    this.#flushing = true;\n    if (this.#ended === false) return this.#end(null);\n',
    seeds: 400,
  },
];
