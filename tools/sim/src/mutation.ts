import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OperationError } from '@rmr/runtime';
import { build } from 'esbuild';
import type { Mutant } from './mutants.ts';

/** This program is tools/sim/dist/main.mjs. */
const ROOT = resolve(fileURLToPath(import.meta.url), '../../../..');
/** Seeds that one process runs: a mutant may hang, and then only these are lost. */
const SEEDS_PER_PROCESS = 25;
/** Milliseconds after which a process of {@link SEEDS_PER_PROCESS} seeds counts as hanging, which is a way to be caught. */
const HANG_MS = 180_000;

/** How a mutant fared. */
export interface MutationResult {
  readonly mutant: Mutant;
  /** The first seed that caught it, or null. */
  readonly seed: number | null;
  readonly how: string;
}

/** `source` with the mutation. Throws CONFLICT when the code has changed and the mutant has to follow. */
export function mutate(mutant: Mutant, source: string): string {
  const parts = source.split(mutant.find);
  if (parts.length !== 2) {
    throw new OperationError(
      'CONFLICT',
      `mutant "${mutant.name}": its text stands ${parts.length - 1} times in ${mutant.file}, and has to stand there once; bring src/mutants.ts up to date`,
    );
  }
  return parts.join(mutant.replace);
}

/** Builds the simulator with the mutant in it and runs seeds until one catches it. */
export async function runMutant(mutant: Mutant): Promise<MutationResult> {
  const folder = mkdtempSync(join(ROOT, 'tools/sim/dist/mutant-'));
  try {
    const program = join(folder, 'main.mjs');
    const path = join(ROOT, mutant.file);
    const contents = mutate(mutant, readFileSync(path, 'utf8'));
    await build({
      absWorkingDir: ROOT,
      entryPoints: ['tools/sim/src/main.ts'],
      outfile: program,
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
            plugin.onLoad({ filter: /\.ts$/ }, (file) => (file.path === path ? { contents, loader: 'ts' } : null));
          },
        },
      ],
    });
    for (let first = 1; first <= mutant.seeds; first += SEEDS_PER_PROCESS) {
      const last = Math.min(mutant.seeds, first + SEEDS_PER_PROCESS - 1);
      const run = spawnSync(process.execPath, [program, '--seeds', `${first}..${last}`, '--stop'], { encoding: 'utf8', timeout: HANG_MS });
      const caught = /^seed (\d+): (.*)$/m.exec(run.stderr);
      if (caught !== null) return { mutant, seed: Number(caught[1]), how: caught[2] as string };
      if (run.status !== 0)
        return { mutant, seed: first, how: run.status === null ? 'a run hangs' : `the simulator ended with ${run.status}` };
    }
    return { mutant, seed: null, how: `not caught within ${mutant.seeds} seeds` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
