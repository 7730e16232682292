import { Command } from 'commander';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { addConfigOptions, configFlags } from './config-options.ts';

test('every key of a configuration is a flag, and those given are found by their keys', () => {
  const schema = z.strictObject({
    name: z.string().describe('who this is'),
    rtrs: z.strictObject({ deadAfter: z.string().default('5s'), payloadChecksum: z.boolean().default(false) }).prefault({}),
  });
  const command = new Command('run').exitOverride();
  addConfigOptions(command, schema);
  command.action(() => {});
  command.parse(['node', 'run', '--rtrs-dead-after', '9s', '--rtrs-payload-checksum', 'true']);
  expect([...configFlags(command, schema)]).toEqual([
    ['rtrs.deadAfter', '9s'],
    ['rtrs.payloadChecksum', 'true'],
  ]);
  expect(command.helpInformation()).toContain('who this is [RMR_NAME]');
});
