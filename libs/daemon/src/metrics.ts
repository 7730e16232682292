import { readdirSync } from 'node:fs';
import { assert } from '@rmr/runtime';
import { Counter, Gauge, Registry } from 'prom-client';

/** The metrics of a daemon. */
export class Metrics {
  readonly #registry = new Registry();

  /** Adds a metric that only grows. It counts from the start of the process. */
  counter(options: MetricOptions): void {
    assert(COUNTER_NAME.test(options.name), 'metrics: a counter is named rmr_…_total');
    const names = options.labels ?? [];
    new Counter({
      name: options.name,
      help: options.help,
      labelNames: names,
      registers: [this.#registry],
      collect() {
        this.reset();
        options.read((value, ...values) => this.inc(labelsOf(names, values), value));
      },
    });
  }

  /** Adds a metric that can go up and down. */
  gauge(options: MetricOptions): void {
    assert(GAUGE_NAME.test(options.name) && !options.name.endsWith('_total'), 'metrics: a gauge is named rmr_…, without _total');
    const names = options.labels ?? [];
    new Gauge({
      name: options.name,
      help: options.help,
      labelNames: names,
      registers: [this.#registry],
      collect() {
        this.reset();
        options.read((value, ...values) => this.set(labelsOf(names, values), value));
      },
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

/** Reports the value of one series. The label values come in the order of {@link MetricOptions.labels}. */
export type Observe = (value: number, ...labelValues: readonly (string | number)[]) => void;

/** Describes a metric. Its values are read at each scrape. Between scrapes it costs nothing. */
export interface MetricOptions {
  /** `rmr_…`, with the unit at the end (`_bytes`, `_seconds`). The name of a counter ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  /** Called at every scrape. It calls `observe` once for each series. A series that is not observed is absent from the scrape. */
  readonly read: (observe: Observe) => void;
}

const COUNTER_NAME = /^rmr_[a-z0-9_]+_total$/;
const GAUGE_NAME = /^rmr_[a-z0-9_]+$/;

function labelsOf(names: readonly string[], values: readonly (string | number)[]): Record<string, string | number> {
  assert(names.length === values.length, 'metrics: as many label values as labels');
  const labels: Record<string, string | number> = {};
  for (let i = 0; i < names.length; i++) labels[names[i] as string] = values[i] as string | number;
  return labels;
}

/** Adds the metrics that every process has: identity, age, CPU time, memory, open files. */
export function registerProcessMetrics(
  metrics: Metrics,
  identity: { readonly name: string; readonly role: string; readonly version: string },
): void {
  metrics.gauge({
    name: 'rmr_node_info',
    help: 'Always 1; the labels name this node',
    labels: ['name', 'role', 'version'],
    read: (observe) => observe(1, identity.name, identity.role, identity.version),
  });
  metrics.gauge({
    name: 'rmr_process_uptime_seconds',
    help: 'Seconds since this process started',
    read: (observe) => observe(process.uptime()),
  });
  metrics.counter({
    name: 'rmr_process_cpu_seconds_total',
    help: 'Processor time that this process has used',
    labels: ['mode'],
    read: (observe) => {
      const usage = process.cpuUsage();
      observe(usage.user / 1e6, 'user');
      observe(usage.system / 1e6, 'system');
    },
  });
  metrics.gauge({
    name: 'rmr_process_memory_bytes',
    help: 'Memory of this process: resident in all, JavaScript heap in use, buffers outside it',
    labels: ['kind'],
    read: (observe) => {
      const usage = process.memoryUsage();
      observe(usage.rss, 'resident');
      observe(usage.heapUsed, 'heap');
      observe(usage.arrayBuffers, 'buffers');
    },
  });
  metrics.gauge({
    name: 'rmr_process_open_files',
    help: 'File descriptors that this process has open',
    read: (observe) => observe(readdirSync('/proc/self/fd').length - 1),
  });
}
