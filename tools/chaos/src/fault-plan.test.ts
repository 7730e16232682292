import { SeededRandom } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { describeStep, FAULT_KINDS, FaultPlan, type FaultTargets, parseFaultKinds, type Step } from './fault-plan.ts';

const TARGETS: FaultTargets = {
  members: ['storage-1', 'storage-2'],
  witnesses: ['witness'],
  clients: ['client-1', 'client-2'],
  volatileCache: false,
  kinds: FAULT_KINDS,
};

function rounds(seed: number, targets: FaultTargets = TARGETS, count = 20): Step[][] {
  const plan = new FaultPlan(new SeededRandom(seed), targets);
  return Array.from({ length: count }, () => plan.nextRound());
}

/** A cluster that takes steps, and refuses those that make no sense. */
class Stage {
  readonly down = new Set<string>();
  readonly paused = new Set<string>();
  readonly cut = new Set<string>();
  client = 'client-1';

  take(step: Step): void {
    const well = (name: string): boolean => !this.down.has(name) && !this.paused.has(name);
    const pair = [...step.nodes].sort().join(' ');
    for (const name of step.nodes) {
      const ok = {
        kill: !this.down.has(name),
        'lose-power': !this.down.has(name),
        pause: well(name),
        start: this.down.has(name),
        resume: this.paused.has(name),
        cut: !this.cut.has(pair),
        join: this.cut.has(pair),
        'take-over': well(name),
      }[step.deed];
      expect(ok, `${describeStep(step)} at ${step.atMs}`).toBe(true);
      if (name.startsWith('client') && step.deed !== 'take-over') expect(name, describeStep(step)).toBe(this.client);
    }
    for (const name of step.nodes) {
      if (step.deed === 'kill' || step.deed === 'lose-power') {
        this.down.add(name);
        this.paused.delete(name);
      }
      if (step.deed === 'start') this.down.delete(name);
      if (step.deed === 'pause') this.paused.add(name);
      if (step.deed === 'resume') this.paused.delete(name);
    }
    if (step.deed === 'cut') this.cut.add(pair);
    if (step.deed === 'join') this.cut.delete(pair);
    if (step.deed === 'take-over') {
      expect(step.nodes[0]).toBe(this.client);
      this.client = step.nodes[1];
    }
  }
}

describe('plan of faults', () => {
  test('the same seed gives the same plan, another seed another one', () => {
    expect(rounds(1)).toEqual(rounds(1));
    expect(rounds(2)).not.toEqual(rounds(1));
  });

  test('every step makes sense after those before it, and every round ends with everything undone', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const stage = new Stage();
      for (const steps of rounds(seed)) {
        let lastMs = 0;
        for (const step of steps) {
          expect(step.atMs).toBeGreaterThanOrEqual(lastMs);
          lastMs = step.atMs;
          // A cut that belongs to the former client may end after a take-over.
          if (step.deed === 'join') stage.cut.delete([...step.nodes].sort().join(' '));
          else stage.take(step);
        }
        expect({ down: [...stage.down], paused: [...stage.paused], cut: [...stage.cut] }).toEqual({ down: [], paused: [], cut: [] });
      }
    }
  });

  test('every kind comes, on every node, and faults overlap', () => {
    const steps = Array.from({ length: 50 }, (_, seed) => rounds(seed)).flat();
    const flat = steps.flat();
    expect(new Set(flat.map((step) => step.fault))).toEqual(new Set(FAULT_KINDS));
    for (const deed of ['kill', 'lose-power', 'pause', 'cut'] as const) {
      const nodes = new Set(flat.filter((step) => step.deed === deed).flatMap((step) => step.nodes));
      expect([...nodes].sort(), deed).toEqual([...TARGETS.clients, ...TARGETS.members, ...TARGETS.witnesses].sort());
    }
    // Two begin before the first is undone.
    const begins = (step: Step | undefined): boolean => step?.deed === 'kill' || step?.deed === 'pause' || step?.deed === 'cut';
    expect(steps.some((round) => begins(round[0]) && begins(round[1]))).toBe(true);
    // Everything at one moment.
    expect(flat.some((step) => step.deed === 'kill' && step.nodes.length === 4)).toBe(true);
    expect(flat.some((step) => step.deed === 'lose-power' && step.nodes.length === 4)).toBe(true);
  });

  test('a node whose store has a volatile cache loses it whichever way it dies', () => {
    const flat = rounds(3, { ...TARGETS, volatileCache: true }, 200).flat();
    for (const step of flat) if (step.deed === 'kill') expect(step.nodes.every((name) => name.startsWith('client'))).toBe(true);
    expect(flat.some((step) => step.deed === 'lose-power')).toBe(true);
  });

  test('only what is asked for and possible is drawn', () => {
    const kinds = (targets: Partial<FaultTargets>) =>
      new Set(
        rounds(4, { ...TARGETS, ...targets }, 100)
          .flat()
          .map((step) => step.fault),
      );
    expect(kinds({ kinds: ['kill-client', 'pause-storage'] })).toEqual(new Set(['kill-client', 'pause-storage']));
    expect(kinds({ clients: ['client-1'] })).not.toContain('take-over');
    expect(kinds({ members: ['storage-1'], witnesses: [] })).not.toContain('partition-storage');
    expect(() => rounds(5, { ...TARGETS, clients: ['client-1'], kinds: ['take-over'] })).toThrow('none of them is possible');
  });

  test('kinds are read from a list, and a wrong one is refused with those that there are', () => {
    expect(parseFaultKinds('kill-client, take-over')).toEqual(['kill-client', 'take-over']);
    expect(() => parseFaultKinds('kill-client,earthquake')).toThrow('--faults "earthquake": write some of kill-storage,');
  });
});
