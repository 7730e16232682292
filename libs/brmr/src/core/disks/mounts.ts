/** Who uses a device: file systems that are mounted, swap, and what the kernel has built on it. From the kernel's own tables, as text. */

/** A mounted file system, as a line of /proc/self/mountinfo tells it. */
export interface MountEntry {
  /** MAJOR:MINOR. Some file systems (btrfs, ZFS, NFS) have a number that belongs to no device. */
  readonly device: string;
  readonly mountPoint: string;
  readonly fileSystem: string;
  /** What is mounted: a device node, or what the file system likes to tell. */
  readonly source: string;
}

/** The lines of /proc/self/mountinfo (proc_pid_mountinfo(5)). Lines that make no sense are left out. */
export function parseMountInfo(text: string): readonly MountEntry[] {
  const mounts: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    // Optional fields follow the sixth, and a dash ends them.
    const dash = fields.indexOf('-', 6);
    const [device, , mountPoint] = fields.slice(2);
    const [fileSystem, source] = fields.slice(dash + 1);
    if (dash < 0 || device === undefined || mountPoint === undefined || fileSystem === undefined || source === undefined) continue;
    mounts.push({ device, mountPoint: kernelText(mountPoint), fileSystem, source: kernelText(source) });
  }
  return mounts;
}

/** The mount that a path, without links in it, is on; null where the table does not tell. */
export function mountOfPath(path: string, mounts: readonly MountEntry[]): MountEntry | null {
  let best: MountEntry | null = null;
  for (const mount of mounts) {
    const { mountPoint } = mount;
    const within = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    // A later one of the same place covers an earlier one.
    if (within && (best === null || mountPoint.length >= best.mountPoint.length)) best = mount;
  }
  return best;
}

/** The paths of /proc/swaps. */
export function parseSwaps(text: string): readonly string[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => (line.startsWith('/') ? [kernelText(line.split(/\s/)[0] as string)] : []));
}

/** What is known of the uses of a device. */
export interface DeviceUses {
  /** MAJOR:MINOR. */
  readonly number: string;
  /** Every path by which it may be named, links resolved. */
  readonly paths: readonly string[];
  readonly holders: readonly string[];
  readonly partitions: readonly string[];
}

/**
 * What a device is used for, to be read after "is": `mounted at /srv`. Null: nothing that this process can see. Another container may use it
 * all the same; the claim that is made when a store is created or opened shows that.
 */
export function useOf(device: DeviceUses, mounts: readonly MountEntry[], swaps: readonly string[]): string | null {
  const mount = mounts.find(({ device: number, source }) => number === device.number || device.paths.includes(source));
  if (mount !== undefined) return `mounted at ${mount.mountPoint} (${mount.fileSystem})`;
  if (swaps.some((path) => device.paths.includes(path))) return 'in use as swap';
  if (device.holders.length > 0) return `part of ${device.holders.join(', ')}`;
  if (device.partitions.length > 0) return `divided into partitions (${device.partitions.join(', ')})`;
  return null;
}

/** The kernel writes spaces and the like as a backslash and three octal digits. */
export function kernelText(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
