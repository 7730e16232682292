/** How nouns and verbs are made: each verb has an example in its help, and a session to work with. */
import type { OperationView } from '@rmr/admin-api';
import { type Plan, start } from '@rmr/cluster-view';
import { type Command, Option } from 'commander';
import type { Painter } from '../painter.ts';
import { showOperation } from '../progress.ts';
import { durationOf, Session } from '../session.ts';
import type { Surroundings } from '../surroundings.ts';

/** The examples of all verbs, by command. The reference shows them. */
const EXAMPLES = new WeakMap<Command, string>();

export function exampleOf(command: Command): string | undefined {
  return EXAMPLES.get(command);
}

export interface VerbText {
  /** `show [volume]` */
  readonly usage: string;
  readonly description: string;
  /** The command line, without `rmrctl`. */
  readonly example: string;
}

export function noun(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).helpCommand(false);
}

export function verb(parent: Command, { usage, description, example }: VerbText): Command {
  const command = parent.command(usage).description(description).addHelpText('after', `\nExample:\n  rmrctl ${example}`);
  EXAMPLES.set(command, example);
  return command;
}

/** The flags of verbs that start an operation. */
export interface OrderFlags {
  readonly wait: boolean;
  readonly timeout?: string;
  readonly dryRun?: true;
}

/** A verb that starts an operation. */
export function order(parent: Command, text: VerbText): Command {
  return verb(parent, text)
    .addOption(new Option('--wait', 'follow the operation to its end (the default)').default(true))
    .option('--no-wait', 'return once the operation has begun; it goes on by itself')
    .option('--timeout <time>', 'follow it for so long at most, such as 60s; it goes on')
    .option('--dry-run', 'show what would be done, and change nothing');
}

/** Runs a verb with its session. The action gets the arguments, the flags and the session. */
export function does<Args extends unknown[], Flags>(
  world: Surroundings,
  command: Command,
  action: (session: Session, flags: Flags, ...args: Args) => Promise<void> | void,
): void {
  command.action((...all: unknown[]) => {
    const self = all.pop() as Command;
    const flags = all.pop() as Flags;
    return action(new Session(world, self), flags, ...(all as Args));
  });
}

/** The lines of a plan's checks. */
export function checkLines(painter: Painter, { checks }: Pick<Plan, 'checks'>): readonly string[] {
  return checks.map(({ verdict, sentence }) => painter.lines(`  ${painter.mark(verdict === 'good' ? 'good' : 'degraded')} `, sentence));
}

/** Shows a plan, and says that nothing has changed. `data`: for programs. */
export function printPlan(session: Session, plan: Plan, lines: (painter: Painter) => readonly string[], data: object): void {
  session.print({
    data: { dryRun: true, client: plan.node.name, checks: plan.checks, ...data },
    text: (painter) => [...lines(painter), ...checkLines(painter, plan), 'Nothing has been changed.'].join('\n'),
  });
}

/** Gives the order of a plan, and follows its operation unless told not to. */
export async function carryOut(session: Session, plan: Plan, flags: OrderFlags): Promise<OperationView> {
  const timeoutMs = durationOf(flags.timeout);
  const operation = await start(plan);
  return flags.wait ? showOperation(session, plan.node, operation, timeoutMs) : operation;
}
