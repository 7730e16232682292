import { type Logger as PinoInstance, pino } from 'pino';
import type { LogFields, Logger } from '../logger.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

class PinoLogger implements Logger {
  readonly #pino: PinoInstance;

  constructor(instance: PinoInstance) {
    this.#pino = instance;
  }

  debug(event: string, fields?: LogFields): void {
    this.#pino.debug(fields ?? {}, event);
  }

  info(event: string, fields?: LogFields): void {
    this.#pino.info(fields ?? {}, event);
  }

  warn(event: string, fields?: LogFields): void {
    this.#pino.warn(fields ?? {}, event);
  }

  error(event: string, fields?: LogFields): void {
    this.#pino.error(fields ?? {}, event);
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.#pino.child(fields));
  }
}

/** JSON lines on standard error, written synchronously so that the last words of a crash are not lost. */
export function createLogger(name: string, level: LogLevel): Logger {
  const options = {
    name,
    level,
    base: { name, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    messageKey: 'event',
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return new PinoLogger(pino(options, pino.destination({ fd: 2, sync: true })));
}
