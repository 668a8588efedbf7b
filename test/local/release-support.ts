import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parse, stringify } from "yaml";
import { EmbeddedStack } from "../../automation/embedded/index.ts";
import { readTraffic } from "../../providers/router/admin-client.ts";
import { releaseFiles } from "../../release/contract/files.ts";
import type { Color, Head } from "../../release/contract/head.ts";
import { FileJournal, type Journal } from "../../release/journal.ts";
import { copyProject, type Outcome, outcomeOf, TestPlatform } from "./support.ts";

const POLL_MS = 10;
const NEVER = new AbortController().signal;
const PROCESS_TYPE = "platform:process:Process";

/** Plans by strategy and other settings of releases, as the traffic stack's settings have them. */
export type Rollout = Record<string, unknown>;

/** How clients reach the platform, and how its router is asked for its weights. */
export interface Access {
  url: string;
  key: string;
  adminUrl: string;
  token: string;
}

/** Resolves when a condition holds. @throws Error that tells what was waited for, when `limitMs` is over. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A command under way, in a process group of its own as a terminal would make it. */
export class Command {
  readonly outcome: Promise<Outcome>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.outcome = outcomeOf(child);
  }

  /** Sends a signal to the bootstrap and the command, as Ctrl-C does. */
  signal(name: NodeJS.Signals): void {
    process.kill(-(this.#child.pid ?? Number.NaN), name);
  }

  async kill(): Promise<void> {
    const gone = this.#child.exitCode === null && once(this.#child, "exit");
    if (gone) this.signal("SIGKILL");
    await gone;
    await this.outcome;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}

/** A platform of a copied project, whose releases a test makes, watches and cuts off. */
export class ReleasePlatform extends TestPlatform {
  readonly journal: Journal;
  readonly #removeProject: () => void;
  #access: Access | undefined;

  private constructor({ folder, remove }: ReturnType<typeof copyProject>) {
    super(folder);
    this.#removeProject = remove;
    this.journal = new FileJournal(releaseFiles(this.state, "local").journal);
  }

  /** @param model settings of the chat model that the first release has. */
  static async create(rollout: Rollout | undefined, model: object = {}): Promise<ReleasePlatform> {
    const platform = new ReleasePlatform(copyProject());
    if (rollout) platform.setRollout(rollout);
    platform.setChatModel(model);
    const { code, stderr } = await platform.start();
    if (code === 0) return platform;
    await platform.close();
    throw new Error(`the platform did not start: ${stderr}`);
  }

  override async close(): Promise<void> {
    await super.close();
    this.#removeProject();
  }

  get head(): Head {
    const latest = this.journal.latest();
    if (latest === undefined) throw new Error("nothing was ever released");
    return latest.head;
  }

  /** Begins a command and does not wait for it. */
  begin(command: string, ...args: string[]): Command {
    const bootstrap = path.join(this.project, "cli/bootstrap.cjs");
    return new Command(
      spawn(process.execPath, [bootstrap, "cli/main.ts", command, ...args], {
        cwd: this.project,
        env: { ...process.env, PLATFORM_STATE: this.state, NO_COLOR: "1" },
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      }),
    );
  }

  setRollout(rollout: Rollout): void {
    this.#edit("local-traffic", (config) => {
      config["llm-platform:rollout"] = rollout;
    });
  }

  /** Changes what the working tree would release: settings of its chat model. */
  setChatModel(settings: object): void {
    this.#edit("local", (config) => {
      const models = config["llm-platform:models"] as object[];
      Object.assign(models[0] ?? {}, settings);
    });
  }

  #edit(stack: string, change: (config: Record<string, unknown>) => void): void {
    const file = path.join(this.project, `stacks/Pulumi.${stack}.yaml`);
    const settings = parse(readFileSync(file, "utf8")) as { config: Record<string, unknown> };
    change(settings.config);
    writeFileSync(file, stringify(settings));
  }

  /** As the first start made it: neither address nor key may change by anything that a release meets. */
  async access(): Promise<Access> {
    this.#access ??= await this.#readAccess();
    return this.#access;
  }

  async #readAccess(): Promise<Access> {
    const stack = new EmbeddedStack({
      project: "llm-platform",
      name: "local",
      program: async () => undefined,
      providers: {},
      stateFolder: path.join(this.state, "stacks"),
      passphrase: readFileSync(path.join(this.state, "passphrase"), "utf8"),
    });
    const outputs = await stack.outputs();
    const text = (name: string) => String(outputs?.[name]?.value);
    return {
      url: text("url"),
      key: text("demoKey"),
      adminUrl: text("routerAdminUrl"),
      token: text("routerAdminToken"),
    };
  }

  /** What the router has in force. */
  async traffic(): Promise<{ generation: number; weights: Record<Color, number> }> {
    const { generation, backends } = await readTraffic(await this.access(), NEVER);
    return {
      generation,
      weights: { blue: backends.blue?.weight ?? 0, green: backends.green?.weight ?? 0 },
    };
  }

  /** Name and process id of whatever runs with a log of this platform, two of one name as well. */
  runningProcesses(): string[] {
    const logs = path.join(this.state, "logs");
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        const log = outputOf(pid);
        return log?.startsWith(logs) ? [`${path.basename(log, ".log")} ${pid}`] : [];
      })
      .sort();
  }

  /** Process ids by which the next command finds again what a command that was killed had begun to start. */
  recordedPids(): number[] {
    const folder = path.join(this.state, "pids");
    return readdirSync(folder)
      .filter((name) => name.endsWith(".pid"))
      .map((name) => (JSON.parse(readFileSync(path.join(folder, name), "utf8")) as { pid: number }).pid);
  }

  /** Name and process id of all that the stacks' states know to run. */
  knownProcesses(): string[] {
    const folder = path.join(this.state, "stacks");
    return readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .flatMap((name) => {
        const { deployment } = JSON.parse(readFileSync(path.join(folder, name), "utf8")) as Checkpoint;
        return deployment.resources ?? [];
      })
      .filter(({ type }) => type === PROCESS_TYPE)
      .map(({ urn, outputs }) => `${urn.split("::").at(-1)} ${outputs?.pid}`)
      .sort();
  }
}

interface Checkpoint {
  deployment: { resources?: { urn: string; type: string; outputs?: { pid?: number } }[] };
}

/** The file that a process writes its output to; undefined where it has ended or is another user's. */
function outputOf(pid: string): string | undefined {
  try {
    const isEnded = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.startsWith("Z");
    return isEnded ? undefined : readlinkSync(`/proc/${pid}/fd/1`);
  } catch {
    return undefined;
  }
}
