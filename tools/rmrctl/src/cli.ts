/** The command line: nouns, verbs and flags. What they do stands in `orders.ts`, what they show in `screens.ts`. */
import { programVersion } from '@rmr/runtime/cli';
import { Command, Option } from 'commander';
import { addContext, useContext } from './contexts.ts';
import * as orders from './orders.ts';
import * as questions from './questions.ts';

export function buildProgram(): Command {
  const program = new Command('rmrctl')
    .description(
      'Operates a cluster: volumes, members, disks, resync, operations. The first line of "rmrctl status" says whether the data is safe.',
    )
    .version(programVersion(), '-V, --version')
    .helpCommand(false)
    .option('--cluster <file>', 'cluster file that names the daemons (default: $RMR_CLUSTER, the context in use, ./rmr.yaml)')
    .option('--context <name>', 'a cluster that was added with "context add"')
    .addOption(new Option('-o, --output <form>', 'form of the output').choices(['table', 'json', 'yaml']).default('table'))
    .option('--ascii', 'marks and bars in ASCII')
    .option('--uuids', 'show UUIDs beside names');
  addQuestions(program);
  addVolumes(program);
  addMembers(program);
  addResync(program);
  addOperations(program);
  addEvents(program);
  addContexts(program);
  return program;
}

/** A command with an example in its help. */
function command(parent: Command, usage: string, description: string, example: string): Command {
  return parent.command(usage).description(description).addHelpText('after', `\nExample:\n  rmrctl ${example}`);
}

/** A command that starts an operation. */
function order(parent: Command, usage: string, description: string, example: string): Command {
  return command(parent, usage, description, example)
    .option('--wait', 'follow the operation to its end (default)', true)
    .option('--no-wait', 'return once the operation has begun; it goes on by itself')
    .option('--timeout <time>', 'give up waiting after this time; the operation goes on');
}

function noun(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).helpCommand(false);
}

function addQuestions(program: Command): void {
  command(program, 'status', 'Is my data safe, and what is to be done?', 'status')
    .option('--watch', 'show it again and again')
    .action(questions.status);
  const node = noun(program, 'node', 'The daemons of the cluster.');
  command(node, 'list', 'Every daemon, and what it says of itself.', 'node list').action(questions.nodes);
  const disk = noun(program, 'disk', 'The disks of storage nodes: places for stores.');
  command(disk, 'list', 'Every disk: size, free space, stores, state.', 'disk list').action(questions.disks);
  command(disk, 'show <disk>', 'One disk, NODE/DISK.', 'disk show storage-1/ssd').action(questions.disk);
  const store = noun(program, 'store', 'The stores on the disks.');
  command(store, 'list', 'Every store, and where it is.', 'store list').action(questions.stores);
}

function addVolumes(program: Command): void {
  const volume = noun(program, 'volume', 'Volumes: replicated block devices.');
  command(volume, 'list', 'Every volume, and how it is.', 'volume list').action(questions.volumes);
  command(volume, 'show <volume>', 'One volume: its members, its clients, what it waits for.', 'volume show web-01').action(
    questions.volume,
  );
  order(volume, 'create <name>', 'Makes a volume, and serves it over NBD.', 'volume create web-01 --size 100GiB --replicas 2')
    .requiredOption('--size <size>', 'size of the device, such as 100GiB')
    .option('--replicas <number>', 'copies of the data, each on another storage node', '2')
    .option('--disk <node/disk...>', 'the disks to use, in place of those with most free space')
    .addOption(
      new Option('--quorum <quorum>', 'majority: IO waits unless most members are there').choices(['none', 'majority']).default('none'),
    )
    .option('--witness <node/disk>', 'a member without data that votes, for a quorum of two copies')
    .option('--client <node>', 'the client node that serves it (default: the one with the fewest volumes)')
    .option('--dry-run', 'show what would be done, and change nothing')
    .action(orders.createVolume);
  order(volume, 'delete <volume>', 'Destroys a volume and all of its stores.', 'volume delete web-01')
    .option('--yes', 'do not ask for the name')
    .option('--force', 'although NBD clients are connected: they are cut off')
    .action(orders.deleteVolume);
  order(volume, 'map <volume>', 'Serves a volume that no client node maps.', 'volume map web-01 --client client-2')
    .option('--client <node>', 'the client node that serves it')
    .option('--read-only', 'refuse requests that change data')
    .action(orders.mapVolume);
  order(volume, 'unmap <volume>', 'Takes a volume out of service. Its data stays.', 'volume unmap web-01')
    .option('--force', 'although NBD clients are connected: they are cut off')
    .action(orders.unmapVolume);
  command(
    volume,
    'force <volume>',
    'Serves a volume with the members that are there, when nothing else helps. Shows what would be lost.',
    'volume force web-01',
  )
    .option('--yes-lose <members>', 'leave these members behind, as the plan names them, such as 2,3; none: leaves nobody behind')
    .action(orders.forceVolume);
}

function addMembers(program: Command): void {
  const member = noun(program, 'member', 'The members of a volume: one copy of the data each.');
  order(member, 'add <volume>', 'Adds a copy of the data.', 'member add web-01 --disk storage-3/ssd')
    .requiredOption('--disk <node/disk>', 'where the new copy is made')
    .action(orders.addMember);
  order(member, 'remove <volume> <member>', 'Removes a member and destroys its store.', 'member remove web-01 3')
    .option('--yes', 'do not ask for the name')
    .option('--give-up-last-copies', 'although this member alone has some of the data: that data is lost')
    .action(orders.removeMember);
  order(
    member,
    'replace <volume> <member>',
    'Replaces the store of a member by a new one on another disk.',
    'member replace web-01 2 --disk storage-2/nvme1',
  )
    .requiredOption('--disk <node/disk>', 'where the new store is made; on another node, the member moves')
    .option('--yes', 'do not ask for the name')
    .option('--give-up-last-copies', 'although this member alone has some of the data: that data is lost')
    .action(orders.replaceMember);
  const maintenance = noun(member, 'maintenance', 'Takes a member out of service on purpose, and lets it return.');
  order(maintenance, 'on <volume> <member>', 'The member leaves. What it misses is tracked.', 'member maintenance on web-01 2').action(
    orders.maintenanceOn,
  );
  order(maintenance, 'off <volume> <member>', 'The member returns, and pulls what it missed.', 'member maintenance off web-01 2').action(
    orders.maintenanceOff,
  );
}

function addResync(program: Command): void {
  const resync = noun(program, 'resync', 'How members pull what they missed.');
  command(resync, 'show [volume]', 'What is left to be pulled.', 'resync show').action(questions.resync);
  command(resync, 'pause <volume>', 'Members of the volume pull nothing until it is resumed.', 'resync pause web-01').action(
    orders.pauseResync,
  );
  command(resync, 'resume <volume>', 'Members of the volume pull again.', 'resync resume web-01').action(orders.resumeResync);
  command(
    resync,
    'anew <volume> <member>',
    'Copies all data of a member from the others: for a store that is not trusted.',
    'resync anew web-01 2',
  )
    .option('--yes', 'do not ask for the name')
    .option('--give-up-last-copies', 'although this member alone has some of the data: that data is lost')
    .action(orders.copyAnew);
}

function addOperations(program: Command): void {
  const operation = noun(program, 'operation', 'Changes that take more than a moment.');
  command(operation, 'list', 'Operations, the newest first.', 'operation list --unfinished')
    .option('--unfinished', 'only those that go on')
    .option('--limit <number>', 'how many', '50')
    .action(questions.operations);
  command(operation, 'show <id>', 'One operation.', 'operation show ID').action(questions.operation);
  command(operation, 'wait <id>', 'Follows an operation to its end.', 'operation wait ID --timeout 60s')
    .option('--timeout <time>', 'give up waiting after this time; the operation goes on')
    .action(orders.waitForOperation);
  command(operation, 'cancel <id>', 'Asks for the end of an operation. What can be undone is undone.', 'operation cancel ID').action(
    orders.cancelOperation,
  );
}

function addEvents(program: Command): void {
  const event = noun(program, 'event', 'What happened, on all nodes.');
  const filtered = (parent: Command): Command =>
    parent
      .addOption(new Option('--severity <severity>', 'the least severity').choices(['info', 'notice', 'warning', 'critical']))
      .option('--node <node>', 'only those of this node');
  filtered(command(event, 'list', 'The newest events, the oldest of them first.', 'event list --severity warning'))
    .option('--limit <number>', 'how many', '50')
    .action(questions.events);
  filtered(command(event, 'follow', 'Events as they happen.', 'event follow')).action(questions.followEvents);
}

function addContexts(program: Command): void {
  const context = noun(program, 'context', 'Names for cluster files.');
  command(context, 'list', 'The contexts, and the one in use.', 'context list').action(questions.contexts);
  command(context, 'use <name>', 'Uses this cluster from now on.', 'context use prod').action(useContext);
  command(context, 'add <name> <file>', 'Gives a cluster file a name.', 'context add prod /etc/rmr/prod.yaml').action(addContext);
}
