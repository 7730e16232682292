import type { Command } from 'commander';
import type { z } from 'zod';
import { configKeys } from './config.ts';

/** Gives `command` a flag for every key of the configuration. The help of each flag names the variable for the same key. */
export function addConfigOptions(command: Command, schema: z.ZodType): void {
  for (const key of configKeys(schema)) {
    command.option(`--${key.flag} <value>`, `${key.description} [${key.variable}]`);
  }
}

/** The texts of the flags that were given, by key, in the form that `loadConfig` takes. */
export function configFlags(command: Command, schema: z.ZodType): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  for (const key of configKeys(schema)) {
    const attribute = key.flag.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    const value: unknown = command.opts()[attribute];
    if (typeof value === 'string') flags.set(key.key, value);
  }
  return flags;
}
