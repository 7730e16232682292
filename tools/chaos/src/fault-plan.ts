import { OperationError, type Random, randomBelow } from '@rmr/runtime';

/** Draws the faults of round after round. The same random numbers give the same plan. */
export class FaultPlan {
  readonly #random: Random;
  readonly #targets: FaultTargets;
  /** All storage nodes. */
  readonly #storage: readonly string[];
  /** The client node that serves. */
  #client: string;

  constructor(random: Random, targets: FaultTargets) {
    this.#random = random;
    this.#targets = targets;
    this.#storage = [...targets.members, ...targets.witnesses];
    this.#client = targets.clients[0] as string;
    if (this.#possibleKinds().length === 0) {
      throw new OperationError('INVALID_ARGUMENT', `--faults ${targets.kinds.join(',')}: none of them is possible in this cluster`);
    }
  }

  /**
   * The steps of the next round, which begins with everything well and ends with everything undone. Faults overlap, but
   * never on the same node or pair of nodes.
   */
  nextRound(): Step[] {
    const steps: Step[] = [];
    /** Until when a node, or a pair of nodes, has a fault. */
    const busyUntilMs = new Map<string, number>();
    const count = FAULTS_MIN + randomBelow(this.#random, FAULTS_MAX - FAULTS_MIN + 1);
    let atMs = 0;
    for (let index = 0; index < count; index++) {
      if (index > 0 && randomBelow(this.#random, 10) < 7) atMs += randomBelow(this.#random, GAP_MS_MAX);
      const added = this.#draw(atMs, (name) => (busyUntilMs.get(name) ?? 0) <= atMs);
      for (const step of added) {
        steps.push(step);
        const name = step.deed === 'cut' || step.deed === 'join' ? [pairName(step.nodes)] : step.nodes;
        // A fault is over a moment after its last step.
        for (const each of name) busyUntilMs.set(each, Math.max(busyUntilMs.get(each) ?? 0, step.atMs + 1));
        if (step.deed === 'take-over') for (const each of this.#targets.clients) busyUntilMs.set(each, step.atMs + TAKE_OVER_MS);
      }
    }
    // Array.sort keeps the order of steps at the same time.
    return steps.sort((a, b) => a.atMs - b.atMs);
  }

  /** One fault from its beginning to its undoing; none when what was drawn is busy. */
  #draw(atMs: number, free: (name: string) => boolean): Step[] {
    const fault = this.#drawKind();
    const storage = this.#storage;
    const { volatileCache } = this.#targets;
    const endMs = atMs + this.#drawDuration();
    const there = (nodes: readonly string[], begin: 'kill' | 'pause' | 'lose-power', end: 'start' | 'resume'): Step[] => {
      const chosen = nodes.filter(free);
      if (chosen.length === 0) return [];
      return [
        { atMs, fault, deed: begin, nodes: chosen },
        { atMs: endMs, fault, deed: end, nodes: chosen },
      ];
    };
    const apart = (pair: readonly [string, string]): Step[] => {
      if (!free(pairName(pair))) return [];
      return [
        { atMs, fault, deed: 'cut', nodes: pair },
        { atMs: endMs, fault, deed: 'join', nodes: pair },
      ];
    };
    // A process that keeps its cache in its memory loses it whichever way it dies.
    const kill = volatileCache ? 'lose-power' : 'kill';
    switch (fault) {
      case 'kill-storage':
        return there([this.#pick(storage)], kill, 'start');
      case 'kill-client':
        return there([this.#client], 'kill', 'start');
      case 'kill-several':
        return there(this.#pickSeveral([...storage, this.#client]), kill, 'start');
      case 'power-cycle':
        return there(randomBelow(this.#random, 3) === 0 ? [...storage, this.#client] : this.#pickSeveral(storage), 'lose-power', 'start');
      case 'pause-storage':
        return there([this.#pick(storage)], 'pause', 'resume');
      case 'pause-client':
        return there([this.#client], 'pause', 'resume');
      case 'half-write': {
        const paused = this.#pick(storage);
        if (!free(paused) || !free(this.#client)) return [];
        const killMs = atMs + HALF_WRITE_MS_MIN + randomBelow(this.#random, HALF_WRITE_MS_MAX - HALF_WRITE_MS_MIN);
        return [
          { atMs, fault, deed: 'pause', nodes: [paused] },
          // What was sent to the paused one waits in its socket, and dies with it.
          { atMs: killMs, fault, deed: kill, nodes: [paused, this.#client] },
          { atMs: killMs + this.#drawDuration(), fault, deed: 'start', nodes: [paused] },
          { atMs: killMs + this.#drawDuration(), fault, deed: 'start', nodes: [this.#client] },
        ];
      }
      case 'partition-client':
        return apart([this.#client, this.#pick(storage)]);
      case 'partition-storage': {
        const first = this.#pick(storage);
        return apart([first, this.#pick(storage.filter((name) => name !== first))]);
      }
      case 'take-over': {
        const from = this.#client;
        const to = this.#pick(this.#targets.clients.filter((name) => name !== from));
        const after = randomBelow(this.#random, 2) === 0 ? 'kill' : 'pause';
        if (!free(from) || !free(to)) return [];
        this.#client = to;
        return [{ atMs, fault, deed: 'take-over', nodes: [from, to], after }];
      }
    }
  }

  #drawKind(): FaultKind {
    const kinds = this.#possibleKinds();
    let draw = randomBelow(
      this.#random,
      kinds.reduce((sum, kind) => sum + WEIGHTS[kind], 0),
    );
    for (const kind of kinds) {
      if (draw < WEIGHTS[kind]) return kind;
      draw -= WEIGHTS[kind];
    }
    return kinds[0] as FaultKind;
  }

  #possibleKinds(): FaultKind[] {
    const { kinds, clients } = this.#targets;
    return kinds.filter((kind) => {
      if (kind === 'partition-storage') return this.#storage.length > 1;
      return kind === 'take-over' ? clients.length > 1 : true;
    });
  }

  #drawDuration(): number {
    const draw = randomBelow(this.#random, 10);
    if (draw < 4) return randomBelow(this.#random, SHORT_MS_MAX);
    if (draw < 9) return SHORT_MS_MAX + randomBelow(this.#random, MEDIUM_MS_MAX - SHORT_MS_MAX);
    return LONG_MS_MIN + randomBelow(this.#random, LONG_MS_MAX - LONG_MS_MIN);
  }

  #pick(names: readonly string[]): string {
    return names[randomBelow(this.#random, names.length)] as string;
  }

  /** Some of these names, all of them at times. */
  #pickSeveral(names: readonly string[]): string[] {
    if (randomBelow(this.#random, 3) === 0) return [...names];
    const chosen = names.filter(() => randomBelow(this.#random, 2) === 0);
    return chosen.length === 0 ? [this.#pick(names)] : chosen;
  }
}

/** What a fault does. Each can be undone by a restart, a signal or a route: none takes a copy away for good. */
export const FAULT_KINDS = [
  'kill-storage',
  'kill-client',
  'kill-several',
  'pause-storage',
  'pause-client',
  'partition-client',
  'partition-storage',
  'half-write',
  'take-over',
  'power-cycle',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** How often each kind is drawn, relative to the others. */
const WEIGHTS: Readonly<Record<FaultKind, number>> = {
  'kill-storage': 25,
  'kill-client': 12,
  'kill-several': 10,
  'pause-storage': 14,
  'pause-client': 5,
  'partition-client': 12,
  'partition-storage': 10,
  'half-write': 10,
  'take-over': 6,
  'power-cycle': 10,
};

/** A step of a round, `atMs` after its beginning. Steps are carried out in their order, late ones at once. */
export type Step = { readonly atMs: number; readonly fault: FaultKind } & Deed;

export type Deed =
  | { readonly deed: 'kill' | 'start' | 'pause' | 'resume' | 'lose-power'; readonly nodes: readonly string[] }
  | { readonly deed: 'cut' | 'join'; readonly nodes: readonly [string, string] }
  /** Another client node takes the pool over from one that was killed, or from one that is paused and comes back too late. */
  | { readonly deed: 'take-over'; readonly nodes: readonly [from: string, to: string]; readonly after: 'kill' | 'pause' };

/** The cluster that faults are for. */
export interface FaultTargets {
  /** Storage nodes with data, and those without. */
  readonly members: readonly string[];
  readonly witnesses: readonly string[];
  readonly clients: readonly string[];
  /** Whether stores forget what was not flushed when their node dies. */
  readonly volatileCache: boolean;
  /** Kinds to draw from. */
  readonly kinds: readonly FaultKind[];
}

const FAULTS_MIN = 2;
const FAULTS_MAX = 6;
/** Between the beginnings of two faults: at times none, so that two come together. */
const GAP_MS_MAX = 2500;
/** A fault that is over before anybody has noticed, one that is noticed, and one that outlasts every timeout. */
const SHORT_MS_MAX = 400;
const MEDIUM_MS_MAX = 3000;
const LONG_MS_MIN = 6000;
const LONG_MS_MAX = 9000;
/** How long after the pause of a storage node that node and the client node are killed. Writes of that time are on the other members only. */
const HALF_WRITE_MS_MIN = 50;
const HALF_WRITE_MS_MAX = 500;
/** What a take-over takes, generously, in the plan. */
const TAKE_OVER_MS = 1000;

/** Understands a list of fault kinds. Throws INVALID_ARGUMENT with the kinds that there are. */
export function parseFaultKinds(text: string): readonly FaultKind[] {
  return text.split(',').map((word) => {
    const kind = FAULT_KINDS.find((each) => each === word.trim());
    if (kind === undefined)
      throw new OperationError('INVALID_ARGUMENT', `--faults "${word.trim()}": write some of ${FAULT_KINDS.join(',')}`);
    return kind;
  });
}

function pairName(pair: readonly [string, string]): string {
  return [...pair].sort().join(' ');
}

/** A step for people. */
export function describeStep(step: Step): string {
  switch (step.deed) {
    case 'cut':
      return `cut ${step.nodes.join(' from ')}`;
    case 'join':
      return `join ${step.nodes.join(' and ')}`;
    case 'take-over':
      return `${step.nodes[1]} takes over from ${step.nodes[0]}, which ${step.after === 'kill' ? 'is killed' : 'is paused and comes back too late'}`;
    default:
      return `${step.deed} ${step.nodes.join(', ')}`;
  }
}
