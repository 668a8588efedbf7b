import { collectDefaultMetrics, Registry } from "prom-client";
import type { GatewayConfig } from "./config.ts";
import { METRICS, OTHER_TENANTS } from "./contract.ts";
import { Counter, Gauge, Histogram } from "./telemetry/fast-metrics.ts";
import type { ModelTable } from "./upstream/model-table.ts";

/** All metrics of the contract. Their labels are bounded: none of them holds what a client can invent. */
export type Metrics = ReturnType<typeof createMetrics>;

/** The metrics of the contract, each with the color and the release of this gateway. */
export function createMetrics(config: GatewayConfig, models: Pick<ModelTable, "list">) {
  const registry = new Registry();
  registry.setDefaultLabels({ color: config.color, release: config.release });
  collectDefaultMetrics({ register: registry });
  const metrics = {
    registry,
    ...requestMetrics(registry),
    ...operationMetrics(registry),
    tenantLabel: boundedLabel(config.settings.telemetry.maxTenants),
  };
  metrics.activeRequests.readFrom((set) => {
    for (const { name, outstanding } of models.list) set({ model: name }, outstanding);
  });
  metrics.replicasHealthy.readFrom((set) => {
    for (const { name, healthyReplicas } of models.list) set({ model: name }, healthyReplicas);
  });
  metrics.circuitState.readFrom((set) => {
    const now = performance.now();
    for (const { name, replicas } of models.list)
      for (const { id, breaker } of replicas) set({ model: name, backend: id }, breaker.state(now));
  });
  metrics.buildInfo.set({ release_label: config.releaseLabel, node_version: process.version }, 1);
  return metrics;
}

/** What is counted of each request. */
function requestMetrics(registry: Registry) {
  return {
    requests: new Counter(registry, METRICS.requests),
    batchRequests: new Counter(registry, METRICS.batchRequests),
    failures: new Counter(registry, METRICS.failures),
    duration: new Histogram(registry, METRICS.duration),
    timeToFirstToken: new Histogram(registry, METRICS.timeToFirstToken),
    timePerOutputToken: new Histogram(registry, METRICS.timePerOutputToken),
    tokens: new Counter(registry, METRICS.tokens),
    cost: new Counter(registry, METRICS.cost),
    limited: new Counter(registry, METRICS.limited),
    queueWait: new Histogram(registry, METRICS.queueWait),
    queueRefused: new Counter(registry, METRICS.queueRefused),
    retries: new Counter(registry, METRICS.retries),
    fallbacks: new Counter(registry, METRICS.fallbacks),
    upstreamFailures: new Counter(registry, METRICS.upstreamFailures),
    feedback: new Counter(registry, METRICS.feedback),
    complainingUsers: new Counter(registry, METRICS.complainingUsers),
    flagEvaluations: new Counter(registry, METRICS.flagEvaluations),
  };
}

/** What is true of the gateway; most of it is read when it is scraped, for what is true then is all that counts. */
function operationMetrics(registry: Registry) {
  return {
    activeRequests: new Gauge(registry, METRICS.activeRequests),
    replicasHealthy: new Gauge(registry, METRICS.replicasHealthy),
    queueLength: new Gauge(registry, METRICS.queueLength),
    queueBytes: new Gauge(registry, METRICS.queueBytes),
    budgetUsed: new Gauge(registry, METRICS.budgetUsed),
    limiterLocal: new Gauge(registry, METRICS.limiterLocal),
    circuitState: new Gauge(registry, METRICS.circuitState),
    ledgerBacklog: new Gauge(registry, METRICS.ledgerBacklog),
    settingsReloads: new Counter(registry, METRICS.settingsReloads),
    auditLost: new Counter(registry, METRICS.auditLost),
    keyLookups: new Counter(registry, METRICS.keyLookups),
    tenancyAge: new Gauge(registry, METRICS.tenancyAge),
    telemetryDropped: new Counter(registry, METRICS.telemetryDropped),
    dependencyUp: new Gauge(registry, METRICS.dependencyUp),
    buildInfo: new Gauge(registry, METRICS.buildInfo),
  };
}

/** Takes the first values as they are, and all others for one. */
export function boundedLabel(limit: number): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= limit) return OTHER_TENANTS;
    known.add(value);
    return value;
  };
}
