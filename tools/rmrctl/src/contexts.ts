/** Changes of the contexts: names for cluster files, of the person that types. */
import { resolve } from 'node:path';
import { readClusterFile } from '@rmr/cluster-view';
import { OperationError } from '@rmr/runtime';
import { readContexts, writeContexts } from './context.ts';

export function useContext(name: string): void {
  const { contexts } = readContexts();
  if (contexts[name] === undefined)
    throw new OperationError('NOT_FOUND', `there is no context ${name}; there are: ${Object.keys(contexts).join(', ') || 'none'}`);
  writeContexts({ current: name, contexts });
  process.stdout.write(`${name} is in use\n`);
}

export function addContext(name: string, file: string): void {
  const path = resolve(file);
  // One that can't be understood is told now, and not when it is needed.
  readClusterFile(path);
  const { current, contexts } = readContexts();
  writeContexts({ current: current ?? name, contexts: { ...contexts, [name]: path } });
  process.stdout.write(`${name} stands for ${path}${current === null ? ', and is in use' : ''}\n`);
}
