import type { SimulatorConfig } from "./config.ts";
import type { Metrics } from "./metrics.ts";
import type { ModelRegistry } from "./models.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import type { Scheduler } from "./scheduler.ts";

/** `stopping`: no new generation is taken. `dead`: the engine is gone. */
export type Phase = "serving" | "stopping" | "dead";

/** What every endpoint works with. */
export interface Simulator {
  readonly config: SimulatorConfig;
  readonly models: ModelRegistry;
  readonly metrics: Metrics;
  readonly scheduler: Scheduler;
  readonly prefixCache: PrefixCache;
  readonly fingerprint: string;
  phase: Phase;
}
