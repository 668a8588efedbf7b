import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { otherColor, weightsFor } from "../../release/contract/head.ts";
import { broughtBack } from "../../release/decisions.ts";
import { faultSampler } from "../../services/model-simulator/faults.ts";
import { Crash, quickPlan, World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.close());

/** All that must be so once a release has come to its end, whatever came between. */
async function expectSane(active: "blue" | "green"): Promise<void> {
  const head = world.head();
  const inForce = await world.inForce();
  expect(head.rollout).toBeUndefined();
  expect(head.active).toBe(active);
  expect(head.weights).toEqual(weightsFor(active));
  expect(inForce.weights).toEqual(weightsFor(active));
  expect(inForce.generation).toBe(head.generation);
  expect(world.running[active]?.release).toBe(head.colors[active]?.release);
}

describe("a release of a good model", () => {
  test("by blue-green, then green has all traffic, blue stays warm, and no request is lost", async () => {
    const load = world.startLoad();
    const good = world.release(["--sim-seed=1"]);
    world.request(good);
    expect(await world.run()).toBe("settled");
    await expectSane("green");
    expect(world.kinds()).toEqual(
      ["initial", "requested", "deployed", "checked", "shifted", expect.anything(), "finished"].filter(
        (kind) => typeof kind === "string" || world.kinds().includes("held"),
      ),
    );
    expect(world.head().warm?.rollout.from).toBe("blue");
    expect(world.running.blue).toBeDefined();
    const { failed, byRelease } = await load.stop();
    expect(failed).toBe(0);
    expect(byRelease[good]?.succeeded).toBeGreaterThan(50);
  });

  test("by canary, then the weights go through every stage in order", async () => {
    world.startLoad(300);
    world.request(world.release(["--sim-seed=1"]), quickPlan("canary"));
    expect(await world.run()).toBe("settled");
    await expectSane("green");
    const shifts = world.journal.entries().filter(({ kind }) => kind === "shifted");
    expect(shifts.map(({ head }) => head.weights.green)).toEqual([5, 25, 50, 100]);
  });

  test("without any request to judge, then it holds where it is, and goes on when requests come", async () => {
    world.request(world.release(["--sim-seed=1"]));
    expect(await world.run({ holdMs: 500 })).toBe("holding");
    expect(world.head().rollout).toMatchObject({ phase: "observing" });
    expect(world.journal.latest()?.text).toMatch(/errors 0 of \d+ .*not proven yet|only \d+ of at least 50/);
    world.startLoad();
    expect(await world.run()).toBe("settled");
    await expectSane("green");
  });

  test("once its time is over, then the old color is ended by the next tick", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]), quickPlan("blue-green", { warmSeconds: 0 }));
    await world.run();
    expect(await world.run()).toBe("settled");
    expect(world.running.blue).toBeUndefined();
    expect(world.head().colors).not.toHaveProperty("blue");
    await expectSane("green");
  });
});

const RATE = 0.08;

/** A seed with which the first faults come after the checks, when clients are there. */
function lateSeed(): number {
  for (let seed = 0; ; seed += 1) {
    const draw = faultSampler({ status: 500 }, RATE, seed);
    if (Array.from({ length: 60 }, draw).every((fault) => fault === undefined)) return seed;
  }
}

describe("a bad release is stopped by itself, and blue is left as it was:", () => {
  const cases: [string, string[], RegExp][] = [
    ["one that is never up", ["never-starts"], /green could not be brought up: the model did not start/],
    ["one that errors always", ["--sim-fault=status=500"], /smoke suite on green: .*chat/],
    [
      "one of worse quality",
      ["--sim-fault=unstructured"],
      /prompt tests on green: quality 0\.\d+ .* ends the release/,
    ],
  ];
  test.each(cases)("%s gets no client", async (_name, flags, reason) => {
    const blue = world.running.blue;
    const load = world.startLoad();
    world.request(world.release(flags));
    expect(await world.run()).toBe("settled");
    await expectSane("blue");
    expect(world.kinds()).not.toContain("shifted");
    expect(world.journal.entries().find(({ kind }) => kind === "rolled-back")?.text).toMatch(reason);
    expect(world.running.green).toBeUndefined();
    expect(world.running.blue).toBe(blue);
    expect((await load.stop()).failed).toBe(0);
  });

  test("one that is slow is stopped before any client is sent there", async () => {
    const { stages, ...plan } = quickPlan();
    const gates = { ...stages[0]?.gates, p95Seconds: 0.5 };
    world.request(world.release(["--sim-fault=delay=700"]), {
      ...plan,
      stages: [{ weight: 100, hours: 0, gates }],
    });
    expect(await world.run()).toBe("settled");
    await expectSane("blue");
    expect(world.kinds()).not.toContain("shifted");
    expect(world.journal.entries().at(-2)?.text).toMatch(/prompt tests on green: response p95/);
  }, 120_000);

  test("one whose model is never ready is given up after its time", async () => {
    const green = world.release(["--sim-seed=1"]);
    world.request(green, quickPlan("blue-green", { readySeconds: 1 }));
    world.effect = (name) => {
      // The model dies between its start and the first probe.
      if (name === "append" && world.running.green) void world.running.green.simulators[0]?.close();
    };
    expect(await world.run()).toBe("settled");
    await expectSane("blue");
    expect(world.journal.entries().at(-2)?.text).toMatch(/green did not become ready/);
  });

  test("one that errors now and then gets a share of the traffic, and loses it again", async () => {
    // What the model fails is what clients see.
    world.tries = 1;
    world.startLoad(300);
    const bad = world.release([
      "--sim-fault=status=500",
      `--sim-fault-rate=${RATE}`,
      `--sim-seed=${lateSeed()}`,
    ]);
    world.request(
      bad,
      quickPlan("canary", {
        rollback: { errorRate: 0.02 },
        minimumQualitySamples: 1,
        slowdown: 1000,
        patienceSeconds: 600,
      }),
    );
    expect(await world.run()).toBe("settled");
    await expectSane("blue");
    expect(world.journal.entries().find(({ kind }) => kind === "rolled-back")?.text).toMatch(/errors/);
  });

  test("one whose color dies while it serves is taken back", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]), quickPlan("canary", { minimumRequests: 100_000 }));
    const running = world.run();
    while (world.head().rollout?.phase !== "observing")
      await new Promise((resolve) => setTimeout(resolve, 10));
    await world.kill("green");
    expect(await running).toBe("settled");
    await expectSane("blue");
    expect(world.journal.entries().find(({ kind }) => kind === "rolled-back")?.text).toMatch(
      /green does not answer/,
    );
  });
});

describe("a controller that dies", () => {
  /** Counts the effects of a whole release, so that each can be a place to die. */
  async function effectsOfRelease(): Promise<string[]> {
    const effects: string[] = [];
    world.effect = (name) => effects.push(name);
    world.request(world.release(["--sim-seed=1"]));
    await world.run();
    world.effect = () => {};
    return effects;
  }

  /** @returns whether the run got that far: one that holds less often has fewer effects. */
  async function dieAt(index: number): Promise<boolean> {
    let seen = 0;
    world.effect = () => {
      seen += 1;
      if (seen > index) throw new Crash("killed");
    };
    const end = await world.run().catch((error: unknown) => error);
    world.effect = () => {};
    if (end instanceof Crash) return true;
    expect(end).toBe("settled");
    return false;
  }

  test("at any point of a release, then the next run brings it to its end", async () => {
    world.startLoad(300);
    const effects = await effectsOfRelease();
    let deaths = 0;
    for (let index = 0; index < effects.length; index += 1) {
      const from = world.head().active;
      const to = otherColor(from);
      world.request(world.release([`--sim-seed=${index + 2}`]));
      deaths += (await dieAt(index)) ? 1 : 0;
      expect(await world.run(), `after ${effects[index]}`).toBe("settled");
      await expectSane(to);
    }
    expect(deaths).toBeGreaterThan(10);
    expect((await world.load?.stop())?.failed).toBe(0);
  }, 240_000);

  test("after a rollback moved the weight and before it wrote it down, then the next run takes the release back", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]), quickPlan("canary", { minimumRequests: 1_000_000 }));
    expect(await world.run({ holdMs: 300 })).toBe("holding");
    await world.move(world.head().generation + 1, { blue: 100, green: 0 });
    expect(await world.run()).toBe("settled");
    await expectSane("blue");
    expect(world.journal.entries().find(({ kind }) => kind === "rolled-back")?.text).toMatch(
      /by hand, or by a rollback that was cut off/,
    );
  });

  test("and weights that nobody decided are in force, then they are set right", async () => {
    await world.move(9, { blue: 100, green: 0 });
    world.running.green = world.running.blue;
    await world.move(10, { blue: 40, green: 60 });
    delete world.running.green;
    await world.run();
    await expectSane("blue");
  });
});

describe("a rollback that comes in between", () => {
  test("a release and the end of its warm time, then blue is active again and green is ended", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]));
    await world.run();
    const generation = world.head().generation + 1;
    await world.move(generation, { blue: 100, green: 0 });
    const latest = world.journal.latest();
    if (latest) world.journal.append(latest.revision, broughtBack(latest.head, generation, "asked for"));
    expect(await world.run()).toBe("settled");
    await expectSane("blue");
    expect(world.running.green).toBeUndefined();
    expect(world.head().warm).toBeUndefined();
  });

  test("while a stage is watched, then the run that watches draws back", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]), quickPlan("canary", { minimumRequests: 1_000_000 }));
    const running = world.run();
    while (world.head().rollout?.phase !== "observing")
      await new Promise((resolve) => setTimeout(resolve, 10));
    const generation = world.head().generation + 1;
    await world.move(generation, { blue: 100, green: 0 });
    const latest = world.journal.latest();
    if (latest) world.journal.append(latest.revision, broughtBack(latest.head, generation, "asked for"));
    expect(await running).toBe("settled");
    await expectSane("blue");
    expect(world.running.green).toBeUndefined();
  });

  test("between a decision and its step, then the older number loses at the router", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]));
    let isMoved = false;
    world.effect = (name) => {
      if (name !== "move" || isMoved) return;
      isMoved = true;
      const latest = world.journal.latest();
      if (latest)
        world.journal.append(
          latest.revision,
          broughtBack(latest.head, latest.head.generation + 1, "asked for"),
        );
    };
    // The weight of a real rollback moves first; here the journal alone is ahead, and the run must still draw back.
    expect(await world.run()).toBe("settled");
    await expectSane("blue");
  });
});
