/** The side of BRMR-client: sends commands to storage nodes through the sessions of RMR-client. */
import { OperationError } from '@rmr/runtime';
import { decodeAnswer, encodeCommand, type NodeAnswer, type NodeCommand } from './node-commands.ts';

/** A storage node, as it is reached. */
export interface NodePlace {
  readonly node: string;
  readonly addresses: readonly string[];
}

/** The way of a command, and of its answer. RMR-client's. */
export interface CommandWay {
  command(addresses: readonly string[], whom: string, command: string, done: (result: string | OperationError) => void): void;
}

/** Sends a command. `done` is called once, never from within this call: with the answer, or with the node's refusal, or with UNAVAILABLE. */
export function sendCommand<Command extends NodeCommand>(
  way: CommandWay,
  { node, addresses }: NodePlace,
  command: Command,
  done: (result: NodeAnswer<Command['do']> | OperationError) => void,
): void {
  way.command(addresses, node, encodeCommand(command), (text) => {
    done(text instanceof OperationError ? text : decodeAnswer<Command['do']>(command.do, node, text));
  });
}
