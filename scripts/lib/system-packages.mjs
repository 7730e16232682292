// Debian packages that the tests use. Only root on a Debian-like system can install them; elsewhere what is missing is said.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runGroup } from './processes.mjs';

/**
 * What the tests call, and the package that brings it.
 * @type {readonly { probe: string, package: string }[]} probe: a command, or an absolute path
 */
const NEEDED = [
  { probe: 'nbdinfo', package: 'libnbd-bin' },
  { probe: 'nbdcopy', package: 'libnbd-bin' },
  { probe: 'nbdfuse', package: 'libnbd-bin' },
  { probe: 'qemu-img', package: 'qemu-utils' },
  { probe: 'qemu-io', package: 'qemu-utils' },
  { probe: 'nbdkit', package: 'nbdkit' },
  { probe: 'nbd-client', package: 'nbd-client' },
  { probe: 'fio', package: 'fio' },
  { probe: 'jq', package: 'jq' },
  { probe: 'nbdsh', package: 'python3-libnbd' },
  { probe: 'fusermount3', package: 'fuse3' },
  { probe: 'mkfs.ext4', package: 'e2fsprogs' },
  { probe: 'mkfs.xfs', package: 'xfsprogs' },
  { probe: 'mkfs.btrfs', package: 'btrfs-progs' },
  { probe: 'mkfs.vfat', package: 'dosfstools' },
  { probe: 'mkntfs', package: 'ntfs-3g' },
  { probe: 'make-bcache', package: 'bcache-tools' },
  { probe: 'cryptsetup', package: 'cryptsetup-bin' },
  { probe: 'sfdisk', package: 'fdisk' },
  { probe: 'pvcreate', package: 'lvm2' },
  { probe: 'mdadm', package: 'mdadm' },
  { probe: 'ip', package: 'iproute2' },
  { probe: 'iptables', package: 'iptables' },
  { probe: 'virt-xml-validate', package: 'libvirt-clients' },
  { probe: 'xmllint', package: 'libxml2-utils' },
  { probe: 'systemd-analyze', package: 'systemd' },
];

/** Where Debian keeps administrators' commands, which are not in every PATH. */
const FURTHER_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** @param {string} command */
function exists(command) {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...FURTHER_FOLDERS];
  return folders.some((folder) => folder !== '' && existsSync(join(folder, command)));
}

/** @returns {string[]} packages, each once */
export function missingSystemPackages() {
  return [...new Set(NEEDED.filter(({ probe }) => !exists(probe)).map((needed) => needed.package))];
}

/**
 * Why packages can't be installed from here, or null when they can.
 * @returns {string | null}
 */
export function whyNotInstallable() {
  if (!exists('apt-get')) return 'this system has no apt-get';
  if (process.getuid?.() !== 0) return 'only root can install them';
  return null;
}

/**
 * @param {string[]} packages
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
export async function installSystemPackages(packages) {
  const first = await apt(['install', ...packages]);
  if (first.code === 0) return { ok: true, output: first.output };
  // No package lists yet, or stale ones
  const update = await apt(['update']);
  const second = await apt(['install', ...packages]);
  if (second.code === 0) return { ok: true, output: second.output };
  // One that can't be had must not keep the others away
  for (const name of packages) await apt(['install', name]);
  return { ok: false, output: update.code === 0 ? second.output : update.output };
}

/** @param {string[]} args */
function apt(args) {
  const options = ['-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Dpkg::Use-Pty=0'];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return runGroup('apt-get', [...options, ...args], { env, stdio: 'capture', timeoutMs: INSTALL_TIMEOUT_MS });
}
