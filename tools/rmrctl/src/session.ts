/** What every command needs: the cluster, how output is wanted, and the ways to show, to ask and to confirm. */
import { stripVTControlCharacters } from 'node:util';
import { isCancel, select, text as typedText } from '@clack/prompts';
import { AdvisedError, type Cluster, needVolume, type Observation, Observer, type VolumePicture, volumesOf } from '@rmr/cluster-view';
import { OperationError, parseDuration } from '@rmr/runtime';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { clusterOf } from './contexts.ts';
import { lookOf, Painter } from './painter.ts';
import { repaintOn } from './repaint.ts';
import type { Surroundings } from './surroundings.ts';

export class Session {
  readonly world: Surroundings;
  readonly flags: GlobalFlags;
  /** For standard output. */
  readonly painter: Painter;
  /** For standard error. */
  readonly aside: Painter;
  #cluster: Cluster | null = null;

  constructor(world: Surroundings, command: Command) {
    this.world = world;
    this.flags = command.optsWithGlobals<GlobalFlags>();
    const ascii = this.flags.ascii === true;
    this.painter = new Painter(lookOf(world, 'stdout', ascii));
    this.aside = new Painter(lookOf(world, 'stderr', ascii));
  }

  /** Throws NOT_FOUND and INVALID_CONFIG. */
  get cluster(): Cluster {
    this.#cluster ??= clusterOf(this.world, this.flags);
    return this.#cluster;
  }

  /** Looks at the cluster. `disks`: at the disks, too. */
  observe(disks = false): Promise<Observation> {
    return new Observer(this.cluster, { disks, now: this.world.now }).observe();
  }

  /** Prints an answer in the form that is wanted. */
  print({ data, text, exitCode = 0 }: Shown): void {
    const { output } = this.flags;
    const shown = output === 'json' ? JSON.stringify(data, null, 2) : output === 'yaml' ? stringify(data).trimEnd() : text(this.painter);
    this.world.stdout.write(`${shown}\n`);
    this.world.setExitCode(exitCode);
  }

  /** Prints what `look` finds. With `--watch`: again and again, in place, until Ctrl-C. */
  async show(watch: boolean, options: { readonly disks: boolean }, look: (observation: Observation) => Shown): Promise<void> {
    if (!watch) return this.print(look(await this.observe(options.disks)));
    if (!this.world.isTerminal.stdout || this.flags.output !== 'table')
      throw new OperationError(
        'INVALID_ARGUMENT',
        '--watch paints a terminal, and this is none: leave it out, and call the command again when it suits',
      );
    const observer = new Observer(this.cluster, { ...options, now: this.world.now });
    const screen = repaintOn(this.world, 'stdout');
    let stopped = false;
    const back = this.world.onInterrupt(() => {
      stopped = true;
    });
    while (!stopped) {
      const observation = await observer.observe();
      const { text, exitCode = 0 } = look(observation);
      const shown = text(this.painter);
      this.world.setExitCode(exitCode);
      // Between two looks the age grows: a picture that stands still because a look takes long is not taken for news.
      for (const end = this.world.now() + WATCH_MS; this.world.now() < end && !stopped; ) {
        const seconds = Math.round((this.world.now() - Date.parse(observation.at)) / 1000);
        screen.paint(`${this.painter.faint(`${seconds} s old; Ctrl-C ends it`)}\n${shown}`);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
    screen.done();
    back();
  }

  /** A line beside the answer: not for programs. */
  say(line: string): void {
    this.world.stderr.write(`${line}\n`);
  }

  /** The volume that is meant. On a terminal a person may choose one. */
  async volume(observation: Observation, wanted: string | undefined): Promise<VolumePicture> {
    if (wanted !== undefined) return needVolume(observation, wanted);
    const volumes = volumesOf(observation);
    const uuid = await this.choose(
      'volume',
      volumes.map(({ uuid: value, name, health }) => ({ value, label: name, hint: health.level })),
    );
    return needVolume(observation, uuid);
  }

  /** The id of the member that is meant. */
  async memberId({ name, members }: VolumePicture, wanted: string | undefined): Promise<number> {
    const text =
      wanted ??
      (await this.choose(
        `member of ${name}`,
        members.map(({ memberId, node, state }) => ({
          value: String(memberId),
          label: `${memberId} (${node})`,
          hint: state.toLowerCase(),
        })),
      ));
    return wholeNumber('MEMBER', text, 1, 255);
  }

  /** Has a person choose. Throws INVALID_ARGUMENT where there is nobody to ask, or nothing to choose from. */
  async choose(
    what: string,
    options: readonly { readonly value: string; readonly label: string; readonly hint?: string }[],
  ): Promise<string> {
    const { stdin: input, stderr: output, isTerminal } = this.world;
    const names = options.map(({ label }) => label);
    const few = names.length > 10 ? `${names.slice(0, 10).join(', ')} and ${names.length - 10} more` : names.join(', ');
    if (!isTerminal.stdin || options.length === 0)
      throw new AdvisedError('INVALID_ARGUMENT', `no ${what} is named`, [`There are: ${few || 'none'}`], 'nothing');
    const chosen = await select({
      ...{ message: `Which ${what}?`, options: [...options], maxItems: 10 },
      ...{ input: input as NodeJS.ReadStream, output: output as NodeJS.WriteStream },
    });
    if (isCancel(chosen)) throw cancelled();
    return chosen;
  }

  /** Has a person type a name before something is destroyed. `yes`: it was confirmed on the command line. Throws INVALID_ARGUMENT. */
  async confirm(name: string, yes: boolean | undefined, what: string): Promise<void> {
    if (yes === true) return;
    const { stdin: input, stderr: output, isTerminal } = this.world;
    if (!isTerminal.stdin) {
      const ways = ['Say --yes, or run it on a terminal, where the name of the volume is asked for'];
      throw new AdvisedError('INVALID_ARGUMENT', `${what} has to be confirmed`, ways, 'nothing');
    }
    const typed = await typedText({
      message: `Type the name of the volume to go on: ${stripVTControlCharacters(name)}`,
      validate: (value) => (value?.trim() === name ? undefined : `that is not ${name}; Ctrl-C changes nothing`),
      ...{ input: input as NodeJS.ReadStream, output: output as NodeJS.WriteStream },
    });
    if (isCancel(typed)) throw cancelled();
  }
}

/** The flags that every command takes. */
export interface GlobalFlags {
  readonly cluster?: string;
  readonly context?: string;
  readonly output: 'table' | 'json' | 'yaml';
  readonly ascii?: true;
  readonly uuids?: true;
}

/** How often `--watch` looks, in milliseconds. */
const WATCH_MS = 1_000;

/** What a command shows. */
export interface Shown {
  /** The answer for programs. */
  readonly data: unknown;
  /** The answer for people. */
  readonly text: (painter: Painter) => string;
  /** Zero unless said otherwise. */
  readonly exitCode?: number;
}

function cancelled(): AdvisedError {
  return new AdvisedError('INVALID_ARGUMENT', 'it was broken off', [], 'nothing');
}

/** The milliseconds of a flag. Throws INVALID_ARGUMENT. */
export function durationOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDuration(text);
}

/** Throws INVALID_ARGUMENT for what is no whole number in the range. */
export function wholeNumber(what: string, text: string, min: number, max: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= min && number <= max) return number;
  throw new OperationError('INVALID_ARGUMENT', `${what} "${text}": write a whole number from ${min} to ${max}`);
}
