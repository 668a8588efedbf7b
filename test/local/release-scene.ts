import { expect } from "vitest";
import { otherColor, type Phase, type Rollout } from "../../release/contract/head.ts";
import { type Command, ReleasePlatform, until } from "./release-support.ts";
import { chat, type Outcome } from "./support.ts";

/** Both colors serve for a second, without a figure to wait for: nobody asks anything here. */
export const PASSING = {
  strategy: "canary",
  secondsPerHour: 1,
  readySeconds: 30,
  patienceSeconds: 60,
  warmSeconds: 900,
  plans: {
    canary: {
      stages: [
        { weight: 30, hours: 1, gates: {} },
        { weight: 100, hours: 0, gates: {} },
      ],
    },
  },
};

/** The first stage, of 5 %, never has the requests that it asks for. */
export const HOLDING = { ...PASSING, plans: { canary: { minimumRequests: 1_000_000 } } };

/** How things stood before the command that a moment is one of. */
interface Before {
  number: number;
  processes: Map<string, number>;
}

interface Moment {
  /** The command that is under way then. Default: release. */
  command?: "rollback";
  isNow: (scene: Scene, before: Before) => boolean | Promise<boolean>;
}

const inPhase =
  (phase: Phase) =>
  ({ platform }: Scene): boolean =>
    platform.head.rollout?.phase === phase;

/** The stages of a release and a rollback, in their order. */
const MOMENTS = {
  "before a color is brought up": { isNow: inPhase("deploying") },
  "while a color is brought up": {
    isNow: (scene, { processes }) => inPhase("deploying")(scene) && scene.hasNewModel(processes),
  },
  "while it is checked": { isNow: inPhase("checking") },
  "before the weights move": { isNow: inPhase("shifting") },
  "when the weights have moved and nobody wrote it down": {
    isNow: async (scene) => {
      const { generation } = await scene.platform.traffic();
      return inPhase("shifting")(scene) && generation === scene.platform.head.generation;
    },
  },
  "while both colors serve": { isNow: inPhase("observing") },
  "when it is finished": {
    isNow: ({ platform: { head } }, { number }) => head.number > number && head.warm !== undefined,
  },
  "while the weights go back": { command: "rollback", isNow: inPhase("reverting") },
  "while the color that lost is ended": { command: "rollback", isNow: inPhase("removing") },
} satisfies Record<string, Moment>;

export type MomentName = keyof typeof MOMENTS;
export const ALL_MOMENTS = Object.keys(MOMENTS) as MomentName[];

/** A platform on which releases are cut off, and what must be so afterwards. */
export class Scene {
  readonly platform: ReleasePlatform;
  #edition = 10;

  private constructor(platform: ReleasePlatform) {
    this.platform = platform;
  }

  static async create(): Promise<Scene> {
    return new Scene(await ReleasePlatform.create(PASSING));
  }

  /** A case that failed must not fail those after it. */
  async tidy(): Promise<void> {
    if (this.platform.head.rollout) await this.rollback();
    this.platform.setRollout(PASSING);
  }

  /** The release that is under way, or else the last one. */
  get latest(): Rollout {
    const { rollout, warm } = this.platform.head;
    const latest = rollout ?? warm?.rollout;
    if (latest === undefined) throw new Error("there is no release");
    return latest;
  }

  get idle() {
    return otherColor(this.platform.head.active);
  }

  hasNewModel(before: Map<string, number>): boolean {
    const name = `local-${this.idle}-simulated-chat-0`;
    const pid = this.platform.processes().get(name);
    return pid !== undefined && pid !== before.get(name);
  }

  release(): Promise<Outcome> {
    return this.platform.run("release", ["local", "--no-load"]);
  }

  rollback(): Promise<Outcome> {
    return this.platform.run("rollback", ["local"]);
  }

  /** Begins a release of something that serves nowhere yet. */
  beginRelease(): Command {
    this.#edition += 1;
    this.platform.setChatModel({ answerTokens: this.#edition });
    return this.platform.begin("release", "local", "--no-load");
  }

  async #begin(command: "rollback" | undefined): Promise<Command> {
    if (command === undefined) return this.beginRelease();
    if (!this.platform.head.warm) expect((await this.beginRelease().outcome).code).toBe(0);
    return this.platform.begin(command, "local");
  }

  /** @returns the command that is under way at that moment. */
  async reach(name: MomentName): Promise<Command> {
    const { command: kind, isNow }: Moment = MOMENTS[name];
    const before = { number: this.platform.head.number, processes: this.platform.processes() };
    const command = await this.#begin(kind);
    try {
      await until(name, async () => {
        if (await isNow(this, before)) return true;
        if (command.hasEnded) throw new Error(`${name}: the command ended before`);
        return false;
      });
      return command;
    } catch (error) {
      await command.kill();
      throw new Error(`${(error as Error).message}\n${JSON.stringify(await command.outcome)}`);
    }
  }

  /** What must be so whenever no command works. */
  async expectTruth(): Promise<void> {
    const { platform } = this;
    const { generation, weights } = platform.head;
    expect(await platform.traffic()).toEqual({ generation, weights });
    expect(weights.blue + weights.green).toBe(100);
    const revisions = platform.journal.entries().map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.map((_, index) => index + 1));
    const recorded = platform.recordedPids();
    const isUnknown = (name: string) => !recorded.includes(Number(name.split(" ")[1]));
    expect(platform.runningProcesses().filter(isUnknown)).toEqual([]);
  }

  /** What must be so once a release has come to its end, whatever came between. */
  async expectSane(): Promise<void> {
    const { head } = this.platform;
    expect(head).not.toHaveProperty("rollout");
    expect(head.weights).toEqual({ blue: 0, green: 0, [head.active]: 100 });
    await this.expectTruth();
    expect(this.platform.runningProcesses()).toEqual(this.platform.knownProcesses());
    await this.#expectAnswers();
    const status = await this.platform.status();
    expect(status).toMatchObject({ weights: head.weights, active: head.active });
    const serving = Object.entries(status.colors).map(([color, { release }]) => [color, { release }]);
    expect(Object.fromEntries(serving)).toEqual(head.colors);
    expect(status.services.filter(({ healthy }) => !healthy)).toEqual([]);
  }

  async #expectAnswers(): Promise<void> {
    const { url, key } = await this.platform.access();
    const { colors, active } = this.platform.head;
    const answers = await Promise.all(Array.from({ length: 8 }, () => chat(url, key)));
    for (const answer of answers) {
      expect(answer.status, await answer.text()).toBe(200);
      expect(answer.headers.get("x-release")).toBe(colors[active]?.release);
    }
  }
}
