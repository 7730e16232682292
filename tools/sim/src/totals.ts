import type { SimulationResult } from '@rmr/simulation';

/** What all runs together did; printed as the last line. */
export class Totals {
  seeds = 0;
  failed = 0;
  readonly #failedSeeds: number[] = [];
  readonly #faultKinds: Record<string, number> = {};
  #operations = 0;
  /** The fewest of a run. */
  #operationsMin = Number.POSITIVE_INFINITY;
  #faultsMin = Number.POSITIVE_INFINITY;
  #changes = 0;
  #forced = 0;
  #faults = 0;
  #events = 0;
  #virtualHours = 0;
  readonly #startedMs = performance.now();

  add(result: SimulationResult): void {
    this.seeds++;
    this.#operations += result.operations;
    this.#operationsMin = Math.min(this.#operationsMin, result.operations);
    this.#faultsMin = Math.min(this.#faultsMin, result.faults);
    this.#changes += result.changes;
    this.#forced += result.forced;
    this.#faults += result.faults;
    this.#events += result.events;
    this.#virtualHours += result.virtualMs / 3_600_000;
    for (const [kind, count] of Object.entries(result.faultCounts)) this.#faultKinds[kind] = (this.#faultKinds[kind] ?? 0) + count;
    if (result.failure === null) return;
    this.failed++;
    if (this.#failedSeeds.length < FAILED_SEEDS_MAX) this.#failedSeeds.push(result.seed);
  }

  toJSON(): object {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    return {
      seeds: this.seeds,
      failed: this.failed,
      operations: this.#operations,
      operationsMin: this.seeds === 0 ? 0 : this.#operationsMin,
      membershipChanges: this.#changes,
      forcedPools: this.#forced,
      faults: this.#faults,
      faultsMin: this.seeds === 0 ? 0 : this.#faultsMin,
      faultKinds: Object.fromEntries(Object.entries(this.#faultKinds).sort(([a], [b]) => (a < b ? -1 : 1))),
      events: this.#events,
      virtualHours: round(this.#virtualHours),
      seconds: round(seconds),
      seedsPerSecond: round(this.seeds / seconds),
      eventsPerSecond: Math.round(this.#events / seconds),
      virtualHoursPerSecond: round(this.#virtualHours / seconds),
      failedSeeds: this.#failedSeeds.sort((a, b) => a - b),
    };
  }
}

/** Seeds that are named in the totals, at most. */
const FAILED_SEEDS_MAX = 100;

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
