/** The reference of all commands, as docs/rmrctl.md has it. */
import type { Command, Option } from 'commander';
import { exampleOf } from './commands/verbs.ts';

/** Every noun with its verbs, their flags and an example, as Markdown. */
export function referenceOf(program: Command): string {
  const parts = [`Flags of every command:\n\n${flagTable(program.options)}`];
  for (const command of program.commands) {
    if (!isShown(command)) continue;
    if (command.commands.length === 0) parts.push(...verbParts(command, '##'));
    else parts.push(`## ${command.name()}`, command.description(), ...command.commands.flatMap(below));
  }
  return parts.join('\n\n');
}

function below(command: Command): readonly string[] {
  return command.commands.length === 0 ? verbParts(command, '###') : command.commands.flatMap(below);
}

function isShown(command: Command): boolean {
  return !command.name().startsWith('_');
}

function verbParts(command: Command, level: string): readonly string[] {
  const path: string[] = [];
  for (let each: Command | null = command; each !== null && each.parent !== null; each = each.parent) path.unshift(each.name());
  const example = exampleOf(command);
  return [
    `${level} ${path.join(' ')}`,
    command.description(),
    `\`\`\`sh\n${example === undefined ? '' : `rmrctl ${example}\n`}\`\`\``,
    `Usage: \`rmrctl ${path.join(' ')} ${command.usage()}\``,
    ...(command.options.length === 0 ? [] : [flagTable(command.options)]),
  ];
}

function flagTable(options: readonly Option[]): string {
  const rows = options
    .filter(({ hidden }) => !hidden)
    .map(({ flags, description, argChoices, defaultValue, mandatory }) => {
      const choices = argChoices === undefined ? '' : ` (${argChoices.join(', ')})`;
      const otherwise = typeof defaultValue === 'string' ? `; default ${defaultValue}` : mandatory ? '; needed' : '';
      return `| \`${flags}\` | ${`${description}${choices}${otherwise}`.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('*', '\\*')} |`;
    });
  return ['| flag | what it is |', '| --- | --- |', ...rows].join('\n');
}
