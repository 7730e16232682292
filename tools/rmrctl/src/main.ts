import { run } from './cli.ts';
import { processSurroundings } from './surroundings.ts';

// Whoever reads the output may have enough of it, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});
await run(processSurroundings(), process.argv.slice(2));
// Pooled connections to daemons must not keep the command. What was written to a pipe has to leave first.
await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
process.exit();
