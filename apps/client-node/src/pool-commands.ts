import { readFileSync } from 'node:fs';
import { type AdminClient, adminError, createAdminClient, type ForcePlan } from '@rmr/admin-api';
import { loadConfig } from '@rmr/daemon';
import { errorMessage, OPERATION_ERRORS, OperationError } from '@rmr/runtime';
import type { Command } from 'commander';
import { adminUrl, commandLine } from './admin-address.ts';
import { clientNodeConfigSchema } from './config.ts';
import { leftBehindWords, memberList, NOBODY, planText, saidToBeLost } from './force-plan-text.ts';

/** How long a command waits for its order to be carried out. An order may have to wait for disks, and for members that answer slowly. */
const ORDER_TIMEOUT_MS = 120_000;

/** Adds the commands `create`, `force`, `copy-anew` and `replace-store`. Each gives an order for a pool to the daemon that maps it. */
export function addPoolCommands(program: Command): void {
  onDaemon(program.command('create'))
    .summary('bring a pool into being')
    .description(
      'Brings a pool into being that was never in service, and returns once it is served. All of its members have to be there. A pool is never created without this order, so that none takes the place of one that is only away.',
    )
    .action(create);
  onDaemon(program.command('force'))
    .summary("serve a pool that can't come up any more")
    .description(
      'Serves a pool without the members that it waits for. Without --yes-lose it changes nothing: it shows which members would serve the pool, which would be left behind, and what would be lost, and ends with exit code 2. What the others lack is lost for good: bring the members back instead if you can.',
    )
    .option(
      '--yes-lose <members>',
      `exactly the members that the plan leaves behind, by name or id, separated by commas; "${NOBODY}" if none`,
    )
    .action(force);
  onDaemon(program.command('copy-anew'))
    .summary("copy all of a member's data anew")
    .description(
      'Has all of the data of a member copied anew from the others: for a store that you do not trust, such as one that was restored or copied. The pool is served meanwhile; the member counts as one that has missed everything.',
    )
    .requiredOption('--member <id>', 'id of the member in the pool')
    .option('--give-up-last-copies', 'even if the member has data that no other has: it is lost then')
    .action(copyAnew);
  onDaemon(program.command('replace-store'))
    .summary('have a new, empty store take the place of a lost one')
    .description(
      "A member's new, empty store takes the place of the one that is lost, and is filled from the other members; the pool is served meanwhile. First make the new store under the same member id (storage-node store create), and have it opened by the storage node at the member's address. It is checked that the pool is served, that the member is not in sync, and that its store was made for this pool and member, has the pool's size and chunk size and was never in service. The lost store is refused from then on, should it turn up again.",
    )
    .requiredOption('--member <id>', 'id of the member in the pool')
    .option('--give-up-last-copies', 'even if only the lost store had some data: that is lost then')
    .action(replaceStore);
}

interface DaemonFlags {
  readonly pool: string;
  readonly admin?: string;
  readonly tokenFile?: string;
  readonly config?: string;
}

function onDaemon(command: Command): Command {
  return command
    .requiredOption('--pool <name>', 'name or UUID of the pool')
    .option('-c, --config <file>', 'configuration file of the daemon; it has the admin address [RMR_CONFIG]')
    .option('--admin <address>', 'admin address of the daemon, in place of the one in its configuration')
    .option('--token-file <file>', 'file with the token of the admin interface, in place of the one in the configuration');
}

async function create({ pool, ...flags }: DaemonFlags): Promise<void> {
  await daemonOf(flags).order((admin) => admin.pool.create.mutate({ pool }));
  say(`pool ${pool} has been created, and is served`);
}

async function force({ pool, yesLose, ...flags }: DaemonFlags & { readonly yesLose?: string }): Promise<void> {
  const daemon = daemonOf(flags);
  const plan = await daemon.ask((admin) => admin.pool.forcePlan.query({ pool }));
  const goOn = (now: ForcePlan): string =>
    commandLine(['client-node', 'force', '--pool', pool, '--yes-lose', leftBehindWords(now), ...daemon.flags]);
  if (plan.refusal !== null) {
    if (plan.members.length + plan.leftBehind.length > 0) say(planText(pool, plan, null));
    throw new OperationError('CONFLICT', `pool ${pool} is not forced: ${plan.refusal}`);
  }
  if (yesLose === undefined) {
    say(planText(pool, plan, goOn(plan)));
    process.exitCode = OPERATION_ERRORS.INVALID_ARGUMENT.exit;
    return;
  }
  const leftBehind = saidToBeLost(yesLose, plan);
  if (leftBehind === null) {
    say(planText(pool, plan, goOn(plan)));
    const left = plan.leftBehind.length === 0 ? 'nobody' : memberList(plan.leftBehind);
    throw new OperationError('CONFLICT', `pool ${pool} is not forced: --yes-lose names "${yesLose}", and the plan leaves behind ${left}`);
  }
  try {
    await daemon.order((admin) => admin.pool.force.mutate({ pool, leftBehind: [...leftBehind] }));
  } catch (error) {
    if (error instanceof OperationError && error.code === 'CONFLICT') {
      // A member has come or gone meanwhile. So the plan that the operator agreed to is not the plan of now: show the new one.
      const now = await daemon.ask((admin) => admin.pool.forcePlan.query({ pool }));
      say(planText(pool, now, now.refusal === null ? goOn(now) : null));
    }
    throw error;
  }
  const left = plan.leftBehind.length === 0 ? '' : `; left behind: ${memberList(plan.leftBehind)}`;
  say(`pool ${pool} is served by ${memberList(plan.members)}${left}`);
}

interface MemberFlags extends DaemonFlags {
  readonly member: string;
  readonly giveUpLastCopies?: true;
}

async function copyAnew({ pool, member, giveUpLastCopies, ...flags }: MemberFlags): Promise<void> {
  const memberId = memberIdOf(member);
  await daemonOf(flags).order((admin) => admin.pool.copyAnew.mutate({ pool, memberId, giveUp: giveUpLastCopies === true }));
  say(`member ${memberId} of pool ${pool} is copied anew: status says how much is left`);
}

async function replaceStore({ pool, member, giveUpLastCopies, ...flags }: MemberFlags): Promise<void> {
  const memberId = memberIdOf(member);
  await daemonOf(flags).order((admin) => admin.pool.replaceStore.mutate({ pool, memberId, giveUp: giveUpLastCopies === true }));
  say(`member ${memberId} of pool ${pool} has its new store, and all data is copied to it: status says how much is left`);
}

function memberIdOf(text: string): number {
  const memberId = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (memberId >= 1 && memberId <= 255) return memberId;
  throw new OperationError('INVALID_ARGUMENT', `--member "${text}": write the id of a member, a number from 1 to 255`);
}

/** The daemon that a command talks to. */
interface Daemon {
  /** The flags with which another command finds the same daemon. */
  readonly flags: readonly string[];
  /** Asks the daemon something. Throws {@link OperationError}. */
  ask<Answer>(question: (admin: AdminClient) => Promise<Answer>): Promise<Answer>;
  /** Gives the daemon an order. Throws {@link OperationError}. A TIMEOUT says that the order may be carried out all the same. */
  order(give: (admin: AdminClient) => Promise<unknown>): Promise<void>;
}

function daemonOf(flags: Omit<DaemonFlags, 'pool'>): Daemon {
  const { url, token } = whereabouts(flags);
  const admin = createAdminClient({ url, token, timeoutMs: ORDER_TIMEOUT_MS });
  const ask = async <Answer>(question: (admin: AdminClient) => Promise<Answer>): Promise<Answer> => {
    try {
      return await question(admin);
    } catch (error) {
      throw adminError(error, url);
    }
  };
  return {
    flags: [
      ...(flags.config === undefined ? [] : ['--config', flags.config]),
      ...(flags.admin === undefined ? [] : ['--admin', flags.admin]),
      ...(flags.tokenFile === undefined ? [] : ['--token-file', flags.tokenFile]),
    ],
    ask,
    async order(give) {
      try {
        await ask(give);
      } catch (error) {
        if (!(error instanceof OperationError && error.code === 'TIMEOUT')) throw error;
        throw new OperationError('TIMEOUT', `${error.message} The order may be carried out nevertheless: look at the pool's status`, {
          cause: error,
        });
      }
    },
  };
}

/**
 * The address of the daemon, and its token. The configuration of the environment is not used when `--admin` is given: its token must not
 * be sent to another address.
 */
function whereabouts(flags: Omit<DaemonFlags, 'pool'>): { readonly url: string; readonly token: string | undefined } {
  const filePath = flags.config ?? (flags.admin === undefined ? process.env['RMR_CONFIG'] : undefined);
  const configured = filePath !== undefined || (flags.admin === undefined && process.env['RMR_NAME'] !== undefined);
  if (!configured && flags.admin === undefined)
    throw new OperationError('INVALID_ARGUMENT', 'say where the daemon is: --config FILE, or --admin tcp://HOST:PORT');
  const config = configured ? loadConfig(clientNodeConfigSchema, { filePath, environment: process.env, flags: new Map() }).admin : null;
  const tokenFile = flags.tokenFile ?? config?.tokenFile;
  return { url: urlOf(flags.admin, config?.listen ?? ''), token: tokenFile === undefined ? undefined : readToken(tokenFile) };
}

function urlOf(asked: string | undefined, listen: string): string {
  if (asked !== undefined) {
    if (URL.canParse(asked) && /^(https?|tcp):$/.test(new URL(asked).protocol)) return asked;
    throw new OperationError('INVALID_ARGUMENT', `--admin "${asked}" is not an address; write tcp://HOST:PORT`);
  }
  const url = adminUrl(listen);
  if (url === null)
    throw new OperationError(
      'INVALID_ARGUMENT',
      `admin.listen of the configuration is ${listen}, so the daemon took any free port; give --admin with the address that the daemon's log names`,
    );
  return url;
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `the token file ${path} can't be read: ${errorMessage(error)}`, { cause: error });
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
