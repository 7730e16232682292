/**
 * The side of a storage node that takes commands: it checks each, hands it to whatever keeps the node's disks and stores, and answers
 * once. What it does for one store is done one after the other.
 */
import { COMMAND_TEXT_MAX, type CommandHandler, type ResyncOrder } from '@rmr/rmr';
import { assert, type Logger, OperationError } from '@rmr/runtime';
import { decodeCommand, encodeAnswer, type NodeAnswer, type NodeCommand, type StoreOrder, type StoreState } from './node-commands.ts';

/** Takes commands for `stores`. For {@link RmrServer.onCommand}. */
export function commandService(log: Logger, stores: NodeStores): CommandHandler {
  return (client, text, done) => {
    const command = decodeCommand(text);
    if ('reason' in command) {
      log.warn('a command is refused', { client, why: command.reason });
      done(encodeAnswer(new OperationError('INVALID_ARGUMENT', `the command can't be understood: ${command.reason}`)));
      return;
    }
    let isAnswered = false;
    carryOut(stores, command, client, (result) => {
      assert(!isAnswered, 'command service: a command is answered once');
      isAnswered = true;
      if (result instanceof OperationError)
        log.warn('a command is refused', { client, do: command.do, code: result.code, why: result.message });
      const answer = encodeAnswer(result);
      done(
        answer.length <= COMMAND_TEXT_MAX
          ? answer
          : encodeAnswer(new OperationError('UNSUPPORTED', 'the answer is too long to be carried')),
      );
    });
  };
}

type Done<T> = (result: T | OperationError) => void;

/** What a storage node can do with its disks and stores. `done` is called once, soon: what takes long goes on, and is asked for again. */
export interface NodeStores {
  look(done: Done<NodeAnswer<'look'>>): void;
  /** Has the store made and opened, unless it is there. */
  create(order: StoreOrder, by: string, done: Done<StoreState>): void;
  close(storeUuid: string, poolUuid: string, by: string, done: Done<StoreState>): void;
  open(storeUuid: string, poolUuid: string, by: string, done: Done<StoreState>): void;
  /** Has the store closed and destroyed, unless it is gone. */
  delete(storeUuid: string, poolUuid: string, by: string, done: Done<StoreState>): void;
  /** Changes what is given of the order for the resync of a pool, durably. */
  orderResync(poolUuid: string, change: Partial<ResyncOrder>, by: string, done: Done<NodeAnswer<'resync'>>): void;
}

function carryOut(stores: NodeStores, command: NodeCommand, by: string, done: Done<NodeAnswer<NodeCommand['do']>>): void {
  switch (command.do) {
    case 'look':
      stores.look(done);
      break;
    case 'create':
      stores.create(command.store, by, done);
      break;
    case 'close':
    case 'open':
      stores[command.do](command.storeUuid, command.poolUuid, by, done);
      break;
    case 'delete':
      stores.delete(command.storeUuid, command.poolUuid, by, done);
      break;
    case 'resync': {
      const { poolUuid, paused, rateBytes } = command;
      const change = { ...(paused === undefined ? {} : { paused }), ...(rateBytes === undefined ? {} : { rateBytes }) };
      stores.orderResync(poolUuid, change, by, done);
      break;
    }
  }
}
