import { randomUUID } from "node:crypto";
import { type Client, type EvaluationContext, NOOP_PROVIDER, OpenFeature } from "@openfeature/server-sdk";
import { NO_VARIANT } from "../contract.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { FlagdProvider, QUIET } from "./provider.ts";

interface Tools {
  readonly metrics: Metrics;
  readonly log: Log;
}

/** The flags of one gateway. */
export class FeatureFlags {
  // OpenFeature keeps its providers in one place for the whole process: the name keeps gateways apart there.
  readonly #domain = randomUUID();
  readonly #client: Client = OpenFeature.getClient(this.#domain).setLogger(QUIET);
  readonly #failed = new Set<string>();
  readonly #tools: Tools;

  private constructor(tools: Tools) {
    this.#tools = tools;
  }

  /** @param definitions in flagd's format, as JSON text that was checked */
  static async open(definitions: string, tools: Tools): Promise<FeatureFlags> {
    const flags = new FeatureFlags(tools);
    await OpenFeature.setProviderAndWait(flags.#domain, new FlagdProvider(definitions));
    return flags;
  }

  /** Whether the flag is on for this user; one that cannot be evaluated is off. */
  async isOn(flag: string, user: EvaluationContext): Promise<boolean> {
    const { value, variant, errorCode } = await this.#client.getBooleanDetails(flag, false, user);
    this.#tools.metrics.flagEvaluations.inc({ flag, variant: variant ?? NO_VARIANT });
    if (errorCode !== undefined && !this.#failed.has(flag)) {
      // Once: it fails for every request alike, and the metric goes on counting.
      this.#failed.add(flag);
      this.#tools.log.warn({ event: "flag_failed", flag, errorCode }, "a flag cannot be evaluated");
    }
    return value;
  }

  async close(): Promise<void> {
    await OpenFeature.setProviderAndWait(this.#domain, NOOP_PROVIDER);
  }
}
