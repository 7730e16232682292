import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseNbdUri } from '@rmr/cluster';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { run, runProgram, succeeded, describe as whole } from './support/command.ts';
import { CLIENT_NODE, STORAGE_NODE } from './support/paths.ts';
import { testNeeding } from './support/requirements.ts';
import { TestCluster } from './support/test-cluster.ts';

/**
 * What people copy from the documents into their hosts: command lines, XML and units. Each is taken from the document as it stands there,
 * with another path where it has to be one of this machine, and given to the program that reads it.
 */

const NBD_CLIENTS = document('nbd-clients.md');
const HOSTS = document('hosts.md');
/** What the documents have where the path of the socket, and the name of the export, of a real client node go. */
const SOCKET = '/run/rmr/nbd.sock';
const EXPORT = 'demo';
/** The options of QEMU's line that say what it is connected to, and how. */
const BLOCKDEV = matched(NBD_CLIENTS, /^ {2}-blockdev (\S+) /m);
const DEVICE = matched(NBD_CLIENTS, /^ {2}-device (\S+)$/m);

let cluster: TestCluster;
let folder: string;
let socket: string;
let exportName: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-documented-'));
  cluster = await TestCluster.start({ nbd: 'socket' });
  const address = parseNbdUri(cluster.nbdUri);
  if (!('path' in address.socket)) throw new Error(`${cluster.nbdUri} is no unix socket`);
  socket = address.socket.path;
  exportName = address.export;
});

afterAll(async () => {
  await cluster.dispose();
  rmSync(folder, { recursive: true, force: true });
});

function document(name: string): string {
  return readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');
}

/** The only group of a pattern that the text has. */
function matched(text: string, pattern: RegExp): string {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`a document has nothing like ${pattern} any more`);
  return found;
}

/** The blocks of this kind, in order. */
function blocks(text: string, kind: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((found) => found[1] as string);
}

function written(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function atThisMachine(text: string): string {
  return text.replaceAll(SOCKET, socket).replaceAll(EXPORT, exportName);
}

describe('QEMU', () => {
  testNeeding('qemu-img')('opens an export with all options of -blockdev', async () => {
    const outcome = succeeded(await runProgram('qemu-img', ['info', '--image-opts', atThisMachine(BLOCKDEV)]));
    expect(outcome.stdout).toContain('virtual size');
  });

  testNeeding('qemu-img')('would say so if an option were not one', async () => {
    const outcome = await runProgram('qemu-img', [
      'info',
      '--image-opts',
      atThisMachine(BLOCKDEV).replace('reconnect-delay', 'reconnect-time'),
    ]);
    expect(outcome.code, whole(outcome)).not.toBe(0);
  });
});

describe('libvirt', () => {
  const REST = '<name>demo</name><memory>65536</memory><os><type>hvm</type></os>';
  const disk = blocks(NBD_CLIENTS, 'xml').find((xml) => xml.startsWith('<disk')) ?? '';
  const domain = blocks(NBD_CLIENTS, 'xml').find((xml) => xml.startsWith('<domain')) ?? '';
  const RECONNECT = /^ *<reconnect delay='(\d+)'\/>\n/m;

  async function isValid(name: string, xml: string): Promise<boolean> {
    const outcome = await runProgram('virt-xml-validate', [written(name, xml), 'domain']);
    // 3 is what it says of a document that the schema does not allow; anything else is trouble of another kind.
    expect([0, 3], whole(outcome)).toContain(outcome.code);
    return outcome.code === 0;
  }

  const withDisk = (xml: string): string => `<domain type='kvm'>${REST}<devices>${xml}</devices></domain>`;

  testNeeding('virt-xml-validate', 'xmllint')('takes the disk, but for the element that 9.0 does not know for NBD', async () => {
    expect(await isValid('plain.xml', withDisk(disk.replace(RECONNECT, '')))).toBe(true);
    const knows = await isValid('reconnect.xml', withDisk(disk));
    if ((await run('virsh', '--version')).startsWith('9.0.')) expect(knows, 'as the document says of 9.0').toBe(false);
    expect(await isValid('wrong.xml', withDisk(disk.replace("transport='unix'", "transport='pipe'")))).toBe(false);
  });

  testNeeding('virt-xml-validate', 'xmllint')('takes the options for QEMU, which are those of the line for QEMU', async () => {
    const whereRestGoes = /<qemu:commandline>/;
    expect(domain).toMatch(whereRestGoes);
    expect(await isValid('commandline.xml', domain.replace(whereRestGoes, `${REST}$&`))).toBe(true);
    const args = [...domain.matchAll(/<qemu:arg value='([^']*)'\/>/g)].map((found) => found[1]);
    expect(args).toEqual(['-blockdev', BLOCKDEV, '-device', DEVICE]);
    expect(BLOCKDEV).toContain(`reconnect-delay=${matched(disk, RECONNECT)},`);
  });
});

describe('nbd-client', () => {
  /** Its line, for a device that is a file: without the kernel's module there is none that it could attach. */
  function line(): string[] {
    const device = written('no-device', '');
    const text = matched(NBD_CLIENTS, /^nbd-client (-unix .*)$/m);
    return atThisMachine(text.replace('/dev/nbd0', device)).split(' ');
  }

  testNeeding('nbd-client')('takes the options, and agrees with a client node on the export', async () => {
    const { sizeBytes } = await cluster.poolStatus();
    if (sizeBytes === null) throw new Error('the pool is not served');
    const outcome = await runProgram('nbd-client', line());
    const said = outcome.stdout + outcome.stderr;
    expect(said, whole(outcome)).toContain('Negotiation: ..size');
    expect(said).toContain(`${sizeBytes / 1024 / 1024}MB`);
    // A file is no device: it fails there, and not before.
    expect(said).toMatch(/ioctl/i);
    expect(outcome.code).not.toBe(0);
  });

  testNeeding('nbd-client')('would say so if an option were not one', async () => {
    const outcome = await runProgram(
      'nbd-client',
      line().map((word) => word.replace('-nonetlink', '-nonetlnk')),
    );
    expect(outcome.stdout + outcome.stderr).not.toContain('Negotiation');
  });
});

describe('systemd', () => {
  const units = blocks(HOSTS, 'ini').map((text) => ({ text, name: matched(text, /^# \/etc\/systemd\/system\/(\S+)$/m) }));

  testNeeding('systemd-analyze')('finds nothing wrong with either unit, and would say so', async () => {
    expect(units.map(({ name }) => name)).toEqual(['storage-node.service', 'client-node.service']);
    for (const { text, name } of units) {
      const verify = async (unit: string): Promise<string[]> => {
        const path = written(name, unit.replaceAll('/usr/bin/node', process.execPath));
        const { stdout, stderr } = await runProgram('systemd-analyze', ['verify', '--man=no', path]);
        // It looks at what the unit depends on, too, which is this machine's.
        return `${stdout}${stderr}`.split('\n').filter((said) => said.includes(name));
      };
      expect(await verify(text)).toEqual([]);
      expect(await verify(text.replace('Restart=always', 'Restart=allways'))).not.toEqual([]);
      expect(await verify(text.replace('LimitNOFILE', 'LimitFILES'))).not.toEqual([]);
    }
  });

  testNeeding()('what a unit runs before it starts is a check of the configuration that the program knows', async () => {
    for (const { text, name } of units) {
      const [program, node] = name === 'storage-node.service' ? [STORAGE_NODE, 'storage-1'] : [CLIENT_NODE, 'client-1'];
      const words = matched(text, /^ExecStartPre=\/usr\/bin\/node (.*)$/m).split(' ');
      const [installed, ...rest] = words;
      expect(installed).toMatch(/\/dist\/main\.mjs$/);
      const args = rest.map((word) => (word.startsWith('/etc/rmr/') ? join(cluster.folder, node, 'config.json') : word));
      succeeded(await runProgram(process.execPath, [program, ...args]));
      // The start itself has the same words, but for the check.
      const start = matched(text, /^ExecStart=\/usr\/bin\/node (.*)$/m).split(' ');
      expect(start).toEqual(['--enable-source-maps', ...words.filter((word) => word !== '--check')]);
    }
  });
});
