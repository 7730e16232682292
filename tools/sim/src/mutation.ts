import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OperationError } from '@rmr/runtime';
import { build } from 'esbuild';
import type { Mutant } from './mutants.ts';

/** This program is tools/sim/dist/main.mjs. */
const ROOT = resolve(fileURLToPath(import.meta.url), '../../../..');
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

/** Builds the simulator with the mutant in it and runs seeds, in `jobs` processes, until one catches it. A seed that hangs has caught it too. */
export async function runMutant(mutant: Mutant, jobs: number): Promise<MutationResult> {
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
    const { output, code } = await runProgram(program, ['--seeds', `1..${mutant.seeds}`, '--stop', '--jobs', String(jobs)]);
    const caught = /^seed (\d+): (.*)$/m.exec(output);
    if (caught !== null) return { mutant, seed: Number(caught[1]), how: caught[2] as string };
    if (code !== 0) {
      throw new Error(`the simulator with mutant "${mutant.name}" ended with ${code}: ${output.slice(-2000)}`);
    }
    return { mutant, seed: null, how: `not caught within ${mutant.seeds} seeds` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What a program writes to standard error, and how it ends. */
function runProgram(program: string, args: readonly string[]): Promise<{ output: string; code: number | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ output, code }));
  });
}
