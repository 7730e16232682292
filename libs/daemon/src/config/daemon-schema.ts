// The keys that every daemon's configuration has. Each daemon adds its own to them.
import { z } from 'zod';
import { adminAddressValue, durationValue, nameValue, pathValue, routesValue, uuidValue } from './config-values.ts';

/** The keys that say which node a daemon is, and where it keeps what it has to remember. */
export function nodeKeys(name: string) {
  return {
    name: nameValue().describe(`name of this ${name}, for people`),
    hostUuid: uuidValue().optional().describe('identity of this host; without it, a UUID is drawn at the first start and kept in stateDir'),
    stateDir: pathValue().describe('directory for the state that this daemon has to remember'),
    bootIdOverride: uuidValue().optional().describe("used in place of the kernel's boot id; only for tests, because it hides a power loss"),
  };
}

/** `admin`: the admin interface. `listen`: its address unless another one is given. */
export function adminSection(listen: string) {
  return z
    .strictObject({
      listen: adminAddressValue()
        .default(listen)
        .describe('address of the admin interface, tcp://HOST:PORT; http://HOST:PORT means the same'),
      tokenFile: pathValue()
        .optional()
        .describe(
          'file with the bearer token of the admin interface, or with a line "NAME ROLE sha256:DIGEST" for each of several; required beyond loopback',
        ),
    })
    .prefault({});
}

/** `log`. */
export function logSection() {
  return z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info').describe('the least severe level that is logged'),
    })
    .prefault({});
}

/** The keys of `transport`: sessions to other nodes. */
export function transportKeys() {
  return {
    heartbeatInterval: durationValue({ millisecondsMin: 100, millisecondsMax: 60_000 })
      .default(1000)
      .describe('time between heartbeats on an idle path'),
    deadAfter: durationValue({ millisecondsMin: 300, millisecondsMax: 600_000 })
      .default(5000)
      .describe('a path that has been silent for this long is closed'),
    routes: routesValue()
      .prefault({})
      .describe('for some addresses, the one to connect to instead, such as that of a tunnel; read again at SIGHUP'),
    payloadChecksum: z.boolean().default(false).describe('protect payloads with a CRC-32C; headers always have one'),
  };
}

/** The validated keys of `transport` that every daemon has. Durations in milliseconds. */
export type TransportConfig = z.output<z.ZodObject<ReturnType<typeof transportKeys>>>;

/** Refuses a `deadAfter` within which no two heartbeats fit: one that is late would close the path. */
export function refuseEarlyDeath({ heartbeatInterval, deadAfter }: TransportConfig, context: z.core.$RefinementCtx): void {
  if (deadAfter >= 2 * heartbeatInterval) return;
  context.addIssue({
    code: 'custom',
    path: ['transport', 'deadAfter'],
    message: `is below two heartbeats of ${heartbeatInterval}ms; write at least ${2 * heartbeatInterval}ms`,
  });
}
