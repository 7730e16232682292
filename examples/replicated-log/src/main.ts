// The life of a replicated log in one process: three copies, one of which is away for a while and then is enough by itself.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT_LOGGER } from '@rmr/runtime';
import { runLife } from './life.ts';

const folder = mkdtempSync(join(tmpdir(), 'replicated-log-'));
try {
  await runLife({ folder, log: SILENT_LOGGER, say: (line) => process.stdout.write(`${line}\n`) });
} finally {
  rmSync(folder, { recursive: true });
}
