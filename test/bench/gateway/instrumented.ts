import type { Profiler } from "node:inspector";
import { type GatewayOptions, type Ground, type StartedGateway, startGateway } from "./gateways.ts";
import { freePort } from "./processes.ts";
import { type Models, urlOf } from "./settings.ts";

const PROGRAM = "test/bench/gateway/instrumented-gateway.ts";

/** A gateway that can be looked into. */
export class InstrumentedGateway {
  readonly process: StartedGateway;
  readonly #control: string;

  private constructor(process: StartedGateway, control: string) {
    this.process = process;
    this.#control = control;
  }

  static async start(ground: Ground, models: Models, profile: GatewayOptions["profile"]) {
    const controlPort = await freePort();
    const env = { BENCH_CONTROL_PORT: String(controlPort) };
    const started = await startGateway(ground, models, { profile, program: PROGRAM, env });
    return new InstrumentedGateway(started, urlOf(controlPort));
  }

  /** Takes a CPU profile for as long as the work lasts. */
  async profile(work: () => Promise<void>): Promise<Profiler.Profile> {
    await this.#ask("/profile/start");
    await work();
    return (await this.#ask<{ profile: Profiler.Profile }>("/profile/stop")).profile;
  }

  /** What it holds on to, in bytes, after garbage collection. */
  async memory(): Promise<NodeJS.MemoryUsage> {
    return this.#ask<NodeJS.MemoryUsage>("/memory");
  }

  async #ask<T>(path: string): Promise<T> {
    const response = await fetch(this.#control + path);
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
    return (await response.json()) as T;
  }
}
