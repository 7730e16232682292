/** Completion: a script for each shell, which asks this program for the words that fit. */
import { type Cluster, disksOf, listOperations, type Observation, observe, volumesOf } from '@rmr/cluster-view';
import { Argument, type Command, type Option } from 'commander';
import { clusterOf, readContexts } from '../contexts.ts';
import type { Surroundings } from '../surroundings.ts';
import { does, verb } from './verbs.ts';

/** How long names of the cluster are waited for, in milliseconds. A person has pressed a key. */
const NAMES_MS = 300;

const SCRIPTS = {
  bash: `_rmrctl() {
  local IFS=$'\\n'
  COMPREPLY=($(rmrctl __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _rmrctl rmrctl`,
  zsh: `#compdef rmrctl
_rmrctl() {
  local -a found
  found=(\${(f)"$(rmrctl __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( \${#found} )); then compadd -a found; else _files; fi
}
compdef _rmrctl rmrctl`,
  fish: `complete -c rmrctl -f -a '(rmrctl __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
complete -c rmrctl -l cluster -r -F`,
} as const;

export function addCompletion(program: Command, world: Surroundings): void {
  const shells = Object.keys(SCRIPTS);
  const completion = verb(program, {
    usage: 'completion',
    description: 'Prints the completion of a shell. It offers names from the cluster, too.',
    example: 'completion bash > ~/.local/share/bash-completion/completions/rmrctl',
  }).addArgument(new Argument('<shell>', 'the shell').choices(shells));
  does(world, completion, (_session, _flags: object, shell: string) => {
    world.stdout.write(`${SCRIPTS[shell as keyof typeof SCRIPTS]}\n`);
  });
  // Words may look like options, so they come behind --.
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const fitting = await complete(program, world, words);
      world.stdout.write(fitting.map((word) => `${word}\n`).join(''));
    });
}

/** The words that fit as the last one. The others stand before it. Never fails: what can't be found out is not offered. */
async function complete(program: Command, world: Surroundings, words: readonly string[]): Promise<readonly string[]> {
  const last = words.at(-1) ?? '';
  const { command, given, open } = walk(program, words.slice(0, -1));
  const candidates = await candidatesOf(program, world, words, command, given, open, last);
  return [...new Set(candidates)].filter((word) => word.startsWith(last));
}

interface Walked {
  readonly command: Command;
  /** The arguments that the command was given. */
  readonly given: readonly string[];
  /** The option that waits for its value. */
  readonly open: Option | null;
}

function walk(program: Command, words: readonly string[]): Walked {
  let command = program;
  let given: string[] = [];
  let open: Option | null = null;
  for (const word of words) {
    if (open !== null && !word.startsWith('-')) {
      if (!open.variadic) open = null;
      continue;
    }
    open = null;
    if (word.startsWith('-')) {
      const option = optionsOf(program, command).find(({ long, short }) => word === long || word === short);
      open = option !== undefined && (option.required || option.optional) ? option : null;
      continue;
    }
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) given = [...given, word];
    else command = next;
  }
  return { command, given, open };
}

function optionsOf(program: Command, command: Command): readonly Option[] {
  const all = command === program ? program.options : [...command.options, ...program.options];
  return all.filter(({ hidden }) => !hidden);
}

async function candidatesOf(
  program: Command,
  world: Surroundings,
  words: readonly string[],
  command: Command,
  given: readonly string[],
  open: Option | null,
  last: string,
): Promise<readonly string[]> {
  if (open !== null) return open.argChoices ?? namesFor(world, words, (open.long ?? '').replace('--', ''), given);
  if (last.startsWith('-')) return [...optionsOf(program, command).flatMap(({ long }) => long ?? []), '--help'];
  const verbs = command.commands.map((each) => each.name()).filter((name) => !name.startsWith('_'));
  if (verbs.length > 0) return verbs;
  const argument = command.registeredArguments[given.length];
  if (argument === undefined) return [];
  const name = command.parent?.name() === 'context' ? 'context' : argument.name();
  return argument.argChoices ?? namesFor(world, words, name, given);
}

/** Names of the kind that an option or an argument wants. */
async function namesFor(world: Surroundings, words: readonly string[], kind: string, given: readonly string[]): Promise<readonly string[]> {
  try {
    if (kind === 'context') return Object.keys(readContexts(world).contexts);
    const cluster = clusterOf(world, { cluster: flagValue(words, '--cluster'), context: flagValue(words, '--context') });
    if (kind === 'client') return cluster.nodes.filter(({ role }) => role === 'client-node').map(({ name }) => name);
    if (kind === 'node') return cluster.nodes.map(({ name }) => name);
    const limit = new Promise<readonly string[]>((resolve) => setTimeout(() => resolve([]), NAMES_MS));
    return await Promise.race([limit, heardNames(cluster, kind, given)]);
  } catch {
    return [];
  }
}

async function heardNames(cluster: Cluster, kind: string, given: readonly string[]): Promise<readonly string[]> {
  if (kind === 'id') return (await listOperations(cluster, {})).operations.map(({ id }) => id);
  const isDisk = kind === 'disk' || kind === 'node/disk' || kind === 'witness';
  const observation: Observation = await observe(cluster, { disks: isDisk, answerMs: NAMES_MS });
  if (isDisk) return disksOf(observation).map(({ node, name }) => `${node}/${name}`);
  const volumes = volumesOf(observation);
  if (kind === 'volume') return volumes.map(({ name }) => name);
  if (kind !== 'member') return [];
  return volumes.find(({ name }) => name === given[0])?.members.map(({ memberId }) => String(memberId)) ?? [];
}

function flagValue(words: readonly string[], flag: string): string | undefined {
  const at = words.indexOf(flag);
  return at === -1 ? undefined : words[at + 1];
}
