import { fileURLToPath } from 'node:url';

function inRepository(path: string): string {
  return fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
}

/** The built programs, as `npm run build` leaves them. */
export const CLUSTER_TOOL = inRepository('tools/cluster/dist/main.mjs');
export const BENCH_TOOL = inRepository('tools/bench/dist/main.mjs');
export const RMRCTL = inRepository('tools/rmrctl/dist/main.mjs');
export const CLIENT_NODE = inRepository('apps/client-node/dist/main.mjs');
export const STORAGE_NODE = inRepository('apps/storage-node/dist/main.mjs');

/** A script of `python/`. */
export function pythonScript(name: string): string {
  return inRepository(`tools/acceptance/python/${name}`);
}
