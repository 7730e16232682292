/**
 * Production code with one rule broken. The simulator has to catch it: a mutant that nothing catches means that a
 * workload, a fault or a check is missing.
 */
export interface Mutant {
  /** What it does wrong, as a claim. */
  readonly name: string;
  /** The number of the mark (◆) in docs/protocol.md whose rule it breaks, if there is one. */
  readonly mark?: number;
  /** The rule or invariant of docs/protocol.md that it breaks. */
  readonly rule: string;
  readonly edits: readonly Edit[];
  /**
   * Edits that break nothing and are needed for the rule to matter within the size of a simulation: they are in the
   * simulator that the mutant is compared with, too.
   */
  readonly settings?: readonly Edit[];
  /** Kinds of faults that its runs are narrowed to, so that what it takes to catch it comes often; without: all. */
  readonly faults?: readonly string[];
  /** Seeds, from 1 on, within which it must be caught. */
  readonly seeds: number;
}

/** A place in a source file where a text is replaced by another. */
export interface Edit {
  /** Relative to the root of the repository. */
  readonly file: string;
  /** Stands exactly once in the file. Short, so that it survives changes of what is around it. */
  readonly find: string;
  readonly replace: string;
}

/** `W3 ◆2`, for people. */
export function ruleOf({ rule, mark }: Mutant): string {
  return mark === undefined ? rule : `${rule} ◆${mark}`;
}

export function edit(file: string, find: string, replace: string): Edit {
  return { file, find, replace };
}
