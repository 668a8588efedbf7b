import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { RunFailed, type RunResult, type Stack, type StackOutput } from "../../automation/index.ts";
import { decideTraffic, readTraffic, StaleGenerationError } from "../../providers/router/admin-client.ts";
import { COLORS, type Color, type Head, type Weights } from "../../release/contract/head.ts";
import {
  type FrozenPlan,
  planOf,
  rolloutSettings,
  type StrategyName,
} from "../../release/contract/strategy.ts";
import { initial, requested } from "../../release/decisions.ts";
import { gatewayFigures } from "../../release/figures/source.ts";
import { FileJournal, type Journal } from "../../release/journal.ts";
import { type Load, startLoad } from "../../release/load/load.ts";
import { type RunEnd, type RunOptions, run } from "../../release/run.ts";
import type { Sample } from "../../release/samples.ts";
import { Overtaken, type Site } from "../../release/site.ts";
import { keepSnapshot } from "../../release/snapshot.ts";
import { readConfig as gatewayConfig } from "../../services/gateway/config.ts";
import { type RunningGateway, startGateway } from "../../services/gateway/server.ts";
import { readConfig as simulatorConfig } from "../../services/model-simulator/config.ts";
import { type RunningSimulator, startModelSimulator } from "../../services/model-simulator/server.ts";
import { type RunningRouter, startRouter } from "../../services/router/router.ts";
import { settingsFile } from "../services/gateway/support.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
/** Of clients. */
const KEY = "sk-test-releases";
/** Of the controller's own checks. */
const PROBE_KEY = "sk-test-checks";
const TOKEN = "router-admin-token-for-tests";
const MODELS = [
  { name: "chat-model", task: "chat" },
  { name: "embedding-model", task: "embeddings" },
] as const;
const NEVER = new AbortController().signal;

/** Thrown where a test wants the controller to die. */
export class Crash extends Error {}

/** What a release is made of here: flags of the simulator that serves its chats. */
type Flags = string[];

interface Running {
  release: string;
  gateway: RunningGateway;
  simulators: RunningSimulator[];
}

/**
 * An environment in this process: real gateways, models and router; only the stacks that would start them are played.
 */
export class World {
  readonly folder = mkdtempSync(path.join(tmpdir(), "release-world-"));
  readonly journal: Journal = new FileJournal(path.join(this.folder, "journal"));
  readonly releases = new Map<string, Flags>();
  readonly samples: Sample[] = [];
  readonly running: Partial<Record<Color, Running>> = {};
  readonly dead = new Set<Color>();
  /** How often a gateway that is started from now on tries a model. */
  tries = 3;
  /** Called before and after every effect: a test throws a Crash here. */
  effect: (name: string) => void = () => {};
  router!: RunningRouter;
  load: Load | undefined;

  /** Blue serves the first release with all traffic. */
  static async create(): Promise<World> {
    const world = new World();
    world.router = await startRouter({
      host: "127.0.0.1",
      port: 0,
      adminPort: 0,
      adminToken: TOKEN,
      stateFile: path.join(world.folder, "traffic.json"),
      drainSeconds: 5,
    });
    world.journal.append(0, initial({ release: world.release() }));
    await world.up("blue");
    await world.move(1, { blue: 100, green: 0 });
    return world;
  }

  /** Keeps a release whose chat model runs with these flags. @returns its id */
  release(flags: Flags = []): string {
    const prompts = readdirSync(path.join(ROOT, "prompts"));
    const parts = Object.fromEntries(
      prompts.map((file) => [
        `prompts/${file}`,
        { file: `prompts/${file}`, content: readFileSync(path.join(ROOT, "prompts", file)) },
      ]),
    );
    const models = [{ name: "chat-model", revision: JSON.stringify(flags) }];
    const { id } = keepSnapshot(path.join(this.folder, "snapshots"), { parts, models });
    this.releases.set(id, flags);
    return id;
  }

  /** Asks for a release onto the idle color. */
  request(release: string, plan: FrozenPlan = quickPlan()): void {
    const latest = this.journal.latest();
    if (!latest) throw new Error("the world has no journal");
    this.journal.append(latest.revision, requested(latest.head, { release }, plan));
  }

  head(): Head {
    const head = this.journal.latest()?.head;
    if (!head) throw new Error("the world has no journal");
    return head;
  }

  kinds(): string[] {
    return this.journal.entries().map(({ kind }) => kind);
  }

  get site(): Site {
    return {
      environment: "test",
      colors: { blue: this.#stack("blue"), green: this.#stack("green") },
      traffic: this.#trafficStack(),
      router: {
        read: () => this.inForce(),
        move: async (generation, weights) => {
          this.effect("move");
          await this.move(generation, weights);
          this.effect("moved");
        },
      },
      journal: {
        latest: () => this.journal.latest(),
        entries: () => this.journal.entries(),
        append: (revision, decision) => {
          this.effect("append");
          const entry = this.journal.append(revision, decision);
          this.effect("appended");
          return entry;
        },
      },
      snapshots: path.join(this.folder, "snapshots"),
      figures: gatewayFigures,
      key: PROBE_KEY,
    };
  }

  /** Lets the controller work until the release is settled or holds. */
  run(options: Partial<RunOptions> = {}): Promise<RunEnd> {
    return run({
      site: this.site,
      rollouts: path.join(this.folder, "rollouts"),
      signal: NEVER,
      progress: () => {},
      event: () => {},
      onEntry: () => {},
      onSample: (sample) => this.samples.push(sample),
      ...options,
    });
  }

  /** Sends requests through the router until the world ends. */
  startLoad(ratePerSecond = 150): Load {
    this.load = startLoad({
      url: this.router.url,
      key: KEY,
      models: { chat: "chat-model", embeddings: "embedding-model" },
      ratePerSecond,
      drainMs: 10_000,
    });
    return this.load;
  }

  async inForce(): Promise<{ generation: number; weights: Weights }> {
    const { generation, backends } = await readTraffic(this.#admin, NEVER);
    return { generation, weights: { blue: backends.blue?.weight ?? 0, green: backends.green?.weight ?? 0 } };
  }

  async move(generation: number, weights: Weights): Promise<void> {
    const serving = COLORS.filter((color) => weights[color] > 0);
    const backends = Object.fromEntries(
      serving.map((color) => [color, { url: this.#urlOf(color), weight: weights[color] }]),
    );
    try {
      await decideTraffic(this.#admin, NEVER, { generation, backends });
    } catch (error) {
      throw error instanceof StaleGenerationError ? new Overtaken() : error;
    }
  }

  async up(color: Color): Promise<void> {
    const release = this.head().colors[color]?.release;
    if (release === undefined) throw new Error(`${color} has no release`);
    if (this.running[color]?.release === release && !this.dead.has(color)) return;
    await this.end(color);
    const flags = this.releases.get(release) ?? [];
    if (flags.includes("never-starts")) throw new RunFailed(`test-${color}`, ["the model did not start"], []);
    const simulators = await Promise.all([
      startSimulator("chat-model", flags),
      startSimulator("embedding-model", ["--runner=pooling"]),
    ]);
    const gateway = await startColor({ color, release, tries: this.tries }, simulators);
    this.running[color] = { release, simulators, gateway };
  }

  /** Ends a color's processes behind its stack's back: the stack goes on telling its address. */
  async kill(color: Color): Promise<void> {
    this.dead.add(color);
    const running = this.running[color];
    await running?.gateway.close();
    await Promise.all((running?.simulators ?? []).map(({ close }) => close()));
  }

  async end(color: Color): Promise<void> {
    const running = this.running[color];
    delete this.running[color];
    this.dead.delete(color);
    await running?.gateway.close();
    await Promise.all((running?.simulators ?? []).map(({ close }) => close()));
  }

  async close(): Promise<void> {
    await this.load?.stop();
    await this.router.close();
    for (const color of COLORS) await this.end(color);
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #admin() {
    return { adminUrl: this.router.adminUrl, token: TOKEN };
  }

  #urlOf(color: Color): string {
    const url = this.running[color]?.gateway.url;
    if (url === undefined) throw new Error(`${color} does not run`);
    return url;
  }

  #stack(color: Color): Stack {
    return this.#played(`test-${color}`, {
      up: () => this.up(color),
      destroy: () => this.end(color),
      outputs: () => {
        const url = this.running[color]?.gateway.url;
        return url === undefined ? undefined : { url: clear(url), models: clear(MODELS) };
      },
    });
  }

  /** As the real one: it sets the weights of the journal under their number. */
  #trafficStack(): Stack {
    return this.#played("test-traffic", {
      up: async () => {
        const { generation, weights } = this.head();
        await this.move(generation, weights);
      },
      destroy: async () => {},
      outputs: () => ({}),
    });
  }

  #played(name: string, { up, destroy, outputs }: Played): Stack {
    const result: RunResult = { steps: [], outputs: {} };
    const doing = (what: string, work: () => Promise<void>) => async () => {
      this.effect(`${what} ${name}`);
      await work();
      this.effect(`${what} ${name} done`);
      return result;
    };
    return {
      name,
      up: doing("up", up),
      destroy: doing("destroy", destroy),
      preview: async () => result,
      refresh: async () => result,
      outputs: async () => outputs(),
      resources: async () => [],
    };
  }
}

interface Played {
  up(): Promise<void>;
  destroy(): Promise<void>;
  outputs(): Record<string, StackOutput> | undefined;
}

const clear = (value: unknown): StackOutput => ({ value, secret: false });

function startSimulator(name: string, flags: Flags): Promise<RunningSimulator> {
  const fast = ["--sim-time-to-first-token-ms=1", "--sim-time-per-output-token-ms=0", "--shutdown-timeout=5"];
  return startModelSimulator(
    simulatorConfig(["--port=0", `--served-model-name=${name}`, ...fast, ...flags], {}),
  );
}

interface ColorOptions {
  readonly color: Color;
  readonly release: string;
  readonly tries: number;
}

function startColor(
  { color, release, tries }: ColorOptions,
  simulators: RunningSimulator[],
): Promise<RunningGateway> {
  const models = MODELS.map(({ name, task }, index) => ({
    name,
    task,
    replicas: [{ url: simulators[index]?.url }],
  }));
  const sha256 = (key: string) => createHash("sha256").update(key).digest("hex");
  const keys = [
    { id: "key", sha256: sha256(KEY), tenant: "acme" },
    { id: "checks", sha256: sha256(PROBE_KEY), tenant: "platform", probe: true },
  ];
  return startGateway(
    gatewayConfig({
      GATEWAY_COLOR: color,
      GATEWAY_RELEASE: release,
      GATEWAY_LOG_LEVEL: "silent",
      GATEWAY_PROBE_INTERVAL_SECONDS: "0.05",
      GATEWAY_MODELS: JSON.stringify(models),
      GATEWAY_KEYS: JSON.stringify(keys),
      // Without bounds for the tenant that the load is of.
      GATEWAY_SETTINGS_FILE: settingsFile({ resilience: { retry: { tries } } }),
    }),
  );
}

/** A plan whose hours pass at once and whose figures are soon proven. */
export function quickPlan(
  strategy: StrategyName = "blue-green",
  changes: Partial<FrozenPlan> = {},
): FrozenPlan {
  const settings = rolloutSettings.parse({
    strategy,
    secondsPerHour: 0.001,
    readySeconds: 5,
    patienceSeconds: 3,
    warmSeconds: 60,
  });
  const plan = planOf(settings);
  const stages = plan.stages.map((stage) => ({ ...stage, gates: { ...stage.gates, errorRate: 0.05 } }));
  return { ...plan, stages, ...changes };
}
