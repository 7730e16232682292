import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { OperationError } from '@rmr/runtime';

let rootFound: string | null = null;

/** The repository that this tool is part of: the daemons are started from their bundles there. */
export function repositoryRoot(): string {
  if (rootFound !== null) return rootFound;
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && 'workspaces' in (JSON.parse(readFileSync(manifest, 'utf8')) as object)) {
      rootFound = folder;
      return folder;
    }
    if (folder === dirname(folder)) throw new OperationError('NOT_FOUND', `${import.meta.dirname} is not in a checkout of this project`);
  }
}

/** The program of an application, as built. Throws NOT_FOUND when it has not been. */
export function programPath(application: 'storage-node' | 'client-node' | 'web'): string {
  const path = join(repositoryRoot(), 'apps', application, 'dist/main.mjs');
  if (!existsSync(path)) {
    const remedy = application === 'web' ? 'run "npm run build", or leave the web application out with --no-web' : 'run "npm run build"';
    throw new OperationError('NOT_FOUND', `${application} has not been built (there is no ${path}): ${remedy}`);
  }
  return path;
}
