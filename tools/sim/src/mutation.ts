import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OperationError } from '@rmr/runtime';
import type { SimulationResult } from '@rmr/simulation';
import { build } from 'esbuild';
import { type Edit, type Mutant, ruleOf } from './mutant.ts';
import { runSeeds } from './workers.ts';

/**
 * Runs mutants, and for every seed that one of them fails the same simulator without it: a seed that fails then too says
 * nothing about the mutant.
 */
export class MutationSuite {
  readonly #options: MutationOptions;
  /** Simulators without a rule broken, by the settings that mutants need. */
  readonly #references = new Map<string, Promise<Program>>();
  readonly #programs = new Set<Program>();

  constructor(options: MutationOptions) {
    this.#options = options;
    process.once('exit', () => {
      for (const program of this.#programs) program.remove();
    });
  }

  /** `onResult` hears of every mutant when it is through. */
  async run(mutants: readonly Mutant[], onResult: (result: MutationResult) => void): Promise<MutationResult[]> {
    const results: MutationResult[] = [];
    const left = [...mutants];
    const work = async (): Promise<void> => {
      for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
        const result = await this.#runMutant(mutant);
        results.push(result);
        onResult(result);
      }
    };
    await Promise.all(Array.from({ length: this.#options.jobs }, work));
    return results.sort((a, b) => mutants.indexOf(a.mutant) - mutants.indexOf(b.mutant));
  }

  async #build(edits: readonly Edit[], mutant: string): Promise<Program> {
    const program = await Program.build(edits, mutant);
    this.#programs.add(program);
    return program;
  }

  async #runMutant(mutant: Mutant): Promise<MutationResult> {
    const { settings = [], edits, faults } = mutant;
    const { first, last } = this.#options.seeds ?? { first: 1, last: mutant.seeds };
    const startedMs = performance.now();
    const program = await this.#build([...settings, ...edits], mutant.name);
    const end = (seed: number | null, how: string): MutationResult => {
      program.remove();
      return { mutant, seed, how, seconds: Math.round((performance.now() - startedMs) / 1000) };
    };
    let excused = 0;
    for (let next = first; next <= last; ) {
      let failed: SimulationResult | null = null;
      await program.run(range(next, last), faults, (result) => {
        next = result.seed + 1;
        if (result.failure !== null) failed = result;
        return failed === null && performance.now() - startedMs < this.#options.limitMs;
      });
      const caught = failed as SimulationResult | null;
      if (caught !== null) {
        if (await this.#holds(mutant, caught.seed)) return end(caught.seed, (caught.failure as string).split('\n')[0] as string);
        excused++;
      }
      if (performance.now() - startedMs >= this.#options.limitMs && next <= last)
        return end(null, `not caught by seeds ${first}..${next - 1}, when its time was up`);
    }
    const besides = excused === 0 ? '' : `; ${excused} of them fail without the mutant too`;
    return end(null, `not caught by seeds ${first}..${last}${besides}`);
  }

  /** Whether the seed passes without the mutant. */
  async #holds({ settings = [], faults, name }: Mutant, seed: number): Promise<boolean> {
    const key = JSON.stringify(settings);
    let reference = this.#references.get(key);
    if (reference === undefined) {
      reference = this.#build(settings, name);
      this.#references.set(key, reference);
    }
    let holds = false;
    await (await reference).run([seed], faults, (result) => {
      holds = result.failure === null;
      return false;
    });
    return holds;
  }
}

/** This program is tools/sim/dist/main.mjs. */
const ROOT = resolve(fileURLToPath(import.meta.url), '../../../..');

/** How a mutant fared. */
export interface MutationResult {
  readonly mutant: Mutant;
  /** The first seed that caught it, or null. */
  readonly seed: number | null;
  /** What caught it, or how far it came. */
  readonly how: string;
  readonly seconds: number;
}

/** How mutants are run. */
export interface MutationOptions {
  /** Mutants at a time; each is one process that runs its seeds in order. */
  readonly jobs: number;
  /** Instead of the seeds that each mutant says. */
  readonly seeds: { readonly first: number; readonly last: number } | null;
  /** Milliseconds of real time after which a mutant that is not caught has escaped. */
  readonly limitMs: number;
}

/** `source` with the edit. Throws CONFLICT when the code has changed and the mutant has to follow. */
export function applyEdit({ file, find, replace }: Edit, mutant: string, source: string): string {
  const parts = source.split(find);
  if (parts.length !== 2) {
    throw new OperationError(
      'CONFLICT',
      `mutant "${mutant}": its text stands ${parts.length - 1} times in ${file}, and has to stand there once: ${find}; bring the mutant up to date`,
    );
  }
  return parts.join(replace);
}

/** The files that the edits change, with what stands in them then, by path relative to `root`. */
export function applyEdits(edits: readonly Edit[], mutant: string, root: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const edit of edits) {
    const source = files.get(edit.file) ?? readFileSync(join(root, edit.file), 'utf8');
    files.set(edit.file, applyEdit(edit, mutant, source));
  }
  return files;
}

/** The simulator with some edits in it, as a program of its own. */
class Program {
  readonly #folder: string;
  readonly path: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, 'main.mjs');
  }

  static async build(edits: readonly Edit[], mutant: string): Promise<Program> {
    const files = new Map([...applyEdits(edits, mutant, ROOT)].map(([file, contents]) => [join(ROOT, file), contents]));
    const program = new Program(mkdtempSync(join(ROOT, 'tools/sim/dist/mutant-')));
    await build({
      absWorkingDir: ROOT,
      entryPoints: ['tools/sim/src/main.ts'],
      outfile: program.path,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      external: ['@node-rs/crc32', 'koffi', 'esbuild'],
      banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
      logLevel: 'silent',
      plugins: [
        {
          name: 'mutant',
          setup(plugin) {
            plugin.onLoad({ filter: /\.ts$/ }, ({ path }) => {
              const contents = files.get(path);
              return contents === undefined ? null : { contents, loader: 'ts' };
            });
          },
        },
      ],
    });
    return program;
  }

  /** Runs seeds, one after the other in a process of its own, until `onResult` says that it is enough. */
  async run(
    seeds: Iterable<number>,
    faults: readonly string[] | undefined,
    onResult: (result: SimulationResult) => boolean,
  ): Promise<void> {
    await runSeeds(seeds, 1, this.path, onResult, faults === undefined ? {} : { faults });
  }

  remove(): void {
    if (existsSync(this.#folder)) rmSync(this.#folder, { recursive: true });
  }
}

function* range(first: number, last: number): Generator<number> {
  for (let seed = first; seed <= last; seed++) yield seed;
}

/** Mutants whose mark, rule or name has the text in it; `◆5` and `5` mean the mark alone. */
export function selectMutants(mutants: readonly Mutant[], text: string): readonly Mutant[] {
  const mark = /^◆?(\d+)$/.exec(text);
  if (mark !== null) return mutants.filter((mutant) => mutant.mark === Number(mark[1]));
  return mutants.filter((mutant) => `${ruleOf(mutant)} ${mutant.name}`.toLowerCase().includes(text.toLowerCase()));
}
