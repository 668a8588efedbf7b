import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { GatewayConfig } from "./config.ts";
import { METRICS } from "./contract.ts";
import type { ModelTable } from "./upstream/models.ts";

export interface Metrics {
  readonly registry: Registry;
  readonly requests: Counter;
  readonly failures: Counter;
  readonly duration: Histogram;
  readonly timeToFirstToken: Histogram;
  readonly timePerOutputToken: Histogram;
  readonly tokens: Counter;
  readonly upstreamFailures: Counter;
  readonly feedback: Counter;
  readonly complainingUsers: Counter;
  readonly flagEvaluations: Counter;
  readonly dependencyUp: Gauge;
}

interface Definition<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly Label[];
}

/** The metrics of the contract, each with the color and the release of this gateway. */
export function createMetrics(config: GatewayConfig, models: ModelTable): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ color: config.color, release: config.release });
  collectDefaultMetrics({ register: registry });
  const common = <L extends string>({ name, help, labels }: Definition<L>) => ({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
  });
  const histogram = (definition: Definition<string> & { readonly buckets: readonly number[] }) =>
    new Histogram({ ...common(definition), buckets: [...definition.buckets] });
  // Read when they are scraped: what is true then is all that counts.
  new Gauge({
    ...common(METRICS.activeRequests),
    collect() {
      for (const { name, outstanding } of models.list) this.set({ model: name }, outstanding);
    },
  });
  new Gauge({
    ...common(METRICS.replicasHealthy),
    collect() {
      for (const { name, healthyReplicas } of models.list) this.set({ model: name }, healthyReplicas);
    },
  });
  new Gauge(common(METRICS.buildInfo)).set(
    { release_label: config.releaseLabel, node_version: process.version },
    1,
  );
  return {
    registry,
    requests: new Counter(common(METRICS.requests)),
    failures: new Counter(common(METRICS.failures)),
    duration: histogram(METRICS.duration),
    timeToFirstToken: histogram(METRICS.timeToFirstToken),
    timePerOutputToken: histogram(METRICS.timePerOutputToken),
    tokens: new Counter(common(METRICS.tokens)),
    upstreamFailures: new Counter(common(METRICS.upstreamFailures)),
    feedback: new Counter(common(METRICS.feedback)),
    complainingUsers: new Counter(common(METRICS.complainingUsers)),
    flagEvaluations: new Counter(common(METRICS.flagEvaluations)),
    dependencyUp: new Gauge(common(METRICS.dependencyUp)),
  };
}
