import { z } from 'zod';

/**
 * What a disk tells of itself through SMART, as `smartctl --json` prints it. Vendors fill in what they like. So each figure stands for
 * itself, and one that is missing or makes no sense is not known.
 */

/** Null: not known. */
export interface SmartReport {
  /** The disk's own verdict. */
  readonly passed: boolean | null;
  readonly temperatureCelsius: number | null;
  readonly powerOnHours: number | null;
  /** Sectors that were replaced by spare ones, and sectors that can't be read. */
  readonly reallocatedSectors: number | null;
  readonly pendingSectors: number | null;
  /** NVMe: errors of the medium, how much of its life is used (over 100 is possible), and whether it warns. */
  readonly mediaErrors: number | null;
  readonly percentageUsed: number | null;
  readonly criticalWarning: boolean | null;
  readonly model: string | null;
  readonly serial: string | null;
}

const count = z.number().int().min(0).optional().catch(undefined);
const text = z.string().max(256).optional().catch(undefined);

const smartctlSchema = z.object({
  model_name: text,
  serial_number: text,
  smart_status: z.object({ passed: z.boolean() }).optional().catch(undefined),
  temperature: z.object({ current: z.number() }).optional().catch(undefined),
  power_on_time: z.object({ hours: count }).optional().catch(undefined),
  ata_smart_attributes: z
    .object({ table: z.array(z.object({ id: z.number(), raw: z.object({ value: count }) })).max(256) })
    .optional()
    .catch(undefined),
  scsi_grown_defect_list: count,
  nvme_smart_health_information_log: z
    .object({ critical_warning: count, media_errors: count, percentage_used: count })
    .optional()
    .catch(undefined),
});

/** Numbers of ATA attributes, as smartmontools' drive database has them. */
const REALLOCATED = 5;
const PENDING = 197;

/** The report in the output of smartctl; null: there is none in it, as for a disk that can't tell. */
export function parseSmart(output: string): SmartReport | null {
  let json: unknown;
  try {
    json = JSON.parse(output);
  } catch {
    // It is cut off, or no JSON at all.
    return null;
  }
  const parsed = smartctlSchema.safeParse(json);
  if (!parsed.success) return null;
  const { smart_status, temperature, power_on_time, ata_smart_attributes, nvme_smart_health_information_log: nvme, ...rest } = parsed.data;
  const attribute = (id: number): number | null => ata_smart_attributes?.table.find((row) => row.id === id)?.raw.value ?? null;
  const report = {
    passed: smart_status?.passed ?? null,
    temperatureCelsius: temperature?.current ?? null,
    powerOnHours: power_on_time?.hours ?? null,
    reallocatedSectors: attribute(REALLOCATED) ?? rest.scsi_grown_defect_list ?? null,
    pendingSectors: attribute(PENDING),
    mediaErrors: nvme?.media_errors ?? null,
    percentageUsed: nvme?.percentage_used ?? null,
    criticalWarning: nvme?.critical_warning === undefined ? null : nvme.critical_warning !== 0,
    model: rest.model_name ?? null,
    serial: rest.serial_number ?? null,
  };
  return Object.values(report).every((value) => value === null) ? null : report;
}

/** What the disk says against itself, to be read after "SMART:"; null: nothing. */
export function smartTrouble(report: SmartReport): string | null {
  const troubles = [
    report.passed === false ? 'it says that it is failing' : '',
    report.criticalWarning === true ? 'it gives a critical warning' : '',
    (report.pendingSectors ?? 0) > 0 ? `${report.pendingSectors} sectors can't be read` : '',
    (report.mediaErrors ?? 0) > 0 ? `${report.mediaErrors} errors of the medium` : '',
    (report.percentageUsed ?? 0) >= 100 ? `${report.percentageUsed} % of its life is used` : '',
  ].filter((part) => part !== '');
  return troubles.length === 0 ? null : troubles.join(', ');
}
