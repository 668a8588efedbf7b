import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { weightsFor } from "../../release/contract/head.ts";
import { broughtBack } from "../../release/decisions.ts";
import { JournalConflict } from "../../release/journal.ts";
import { quickPlan, World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.close());

/** Writes down that all traffic goes back, as a rollback does. */
function bringBack(generation = world.head().generation + 1): void {
  const latest = world.journal.latest();
  if (latest) world.journal.append(latest.revision, broughtBack(latest.head, generation, "asked for"));
}

/** A release that is watched with all traffic on green, for want of figures. */
async function watched(changes: Parameters<typeof quickPlan>[1] = {}): Promise<void> {
  world.request(world.release(["--sim-seed=1"]), quickPlan("blue-green", changes));
  expect(await world.run({ holdMs: 300 })).toBe("holding");
  expect(world.head()).toMatchObject({ weights: weightsFor("green"), rollout: { phase: "observing" } });
}

async function expectBlueServes(): Promise<void> {
  expect((await world.inForce()).weights).toEqual(weightsFor("blue"));
  expect(world.head()).toMatchObject({ active: "blue", weights: weightsFor("blue") });
  expect(world.head().rollout).toBeUndefined();
  expect((await fetch(`${world.router.url}/ready`)).status).toBe(200);
}

describe("the controller's own smoke suite and prompt tests", () => {
  test("are no clients: however many there are, a release that nobody asks anything holds", async () => {
    // By the prompt tests alone, a limit this loose would be proven within the first look.
    const plan = quickPlan("blue-green", { minimumRequests: 1 });
    const stages = plan.stages.map((stage) => ({ ...stage, gates: { errorRate: 0.5 } }));
    world.request(world.release(["--sim-seed=1"]), { ...plan, stages });
    expect(await world.run({ holdMs: 8000 })).toBe("holding");
    expect(world.journal.latest()?.text).toMatch(/errors 0 of 0 .*only 0 of at least 1/);
  });

  test("are run once in a while, however often a stage is looked at", async () => {
    world.request(world.release(["--sim-seed=1"]), quickPlan());
    expect(await world.run({ holdMs: 8000 })).toBe("holding");
    const page = await (await fetch(`${world.running.green?.gateway.url}/metrics`)).text();
    const probes = page
      .split("\n")
      .filter((line) => line.startsWith("gateway_requests_total") && line.includes('probe="true"'))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    expect(probes).toBeGreaterThan(28);
    // The checks before the stage, one look as it begins and at most two more in its eight seconds.
    expect(probes).toBeLessThan(28 * 5);
  });
});

describe("a color that died and is needed again", () => {
  test("is healed before it gets all traffic back", async () => {
    await watched();
    await world.kill("blue");
    bringBack();
    expect(await world.run()).toBe("settled");
    await expectBlueServes();
    expect(world.running.green).toBeUndefined();
  });

  test("and does not come up, then the traffic stays where it is served", async () => {
    await watched({ readySeconds: 1 });
    await world.kill("blue");
    bringBack();
    world.effect = (name) => {
      if (name === "up test-blue done") void world.kill("blue");
    };
    await expect(world.run()).rejects.toThrow(/blue does not become ready.*\nremedy:/);
    expect((await world.inForce()).weights).toEqual(weightsFor("green"));
    expect(world.running.green).toBeDefined();
    world.effect = () => {};
    expect(await world.run()).toBe("settled");
    await expectBlueServes();
  });

  test("while the new one is watched, is healed, so that it can take the traffic back", async () => {
    await watched();
    await world.kill("blue");
    expect(await world.run({ holdMs: 300 })).toBe("holding");
    expect((await fetch(`${world.running.blue?.gateway.url}/ready`)).status).toBe(200);
    expect(world.head()).toMatchObject({ weights: weightsFor("green"), rollout: { phase: "observing" } });
  });

  test("while it is checked, is brought up once more instead of being given up", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]));
    world.effect = (name) => {
      if (name === "append" && world.head().rollout?.phase === "checking") throw new Error("power cut");
    };
    await expect(world.run()).rejects.toThrow("power cut");
    world.effect = () => {};
    await world.kill("green");
    expect(await world.run()).toBe("settled");
    expect(world.head()).toMatchObject({ active: "green" });
  });
});

describe("the end of the old color's time", () => {
  test("is written before the color is ended, so that no rollback counts on it", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]), quickPlan("blue-green", { warmSeconds: 0 }));
    await world.run();
    let warmAtEnd: unknown = "not ended";
    world.effect = (name) => {
      if (name === "destroy test-blue") warmAtEnd = world.head().warm;
    };
    await world.run();
    expect(warmAtEnd).toBeUndefined();
    expect(world.running.blue).toBeUndefined();
  });

  test("that was cut off after it was written is made up for by the next tick", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]), quickPlan("blue-green", { warmSeconds: 0 }));
    await world.run();
    world.effect = (name) => {
      if (name === "destroy test-blue") throw new Error("killed");
    };
    await expect(world.run()).rejects.toThrow("killed");
    expect(world.running.blue).toBeDefined();
    world.effect = () => {};
    await world.run();
    expect(world.running.blue).toBeUndefined();
  });

  test("spares a color to which a rollback has just moved the weight, and sets it as decided", async () => {
    world.startLoad();
    world.request(world.release(["--sim-seed=1"]), quickPlan("blue-green", { warmSeconds: 0 }));
    await world.run();
    let moved: Promise<void> | undefined;
    world.effect = (name) => {
      if (name === "appended") moved ??= world.move(world.head().generation + 1, weightsFor("blue"));
    };
    await world.run();
    await moved;
    world.effect = () => {};
    await world.run();
    expect((await world.inForce()).weights).toEqual(weightsFor("green"));
    expect((await fetch(`${world.router.url}/ready`)).status).toBe(200);
  });
});

describe("a number that the router has with other weights", () => {
  test("as after a rollback that died, then the next run learns from it and ends", async () => {
    world.request(world.release(["--sim-seed=1"]));
    world.effect = (name) => {
      if (name === "move") throw new JournalConflict(0);
    };
    const stop = new AbortController();
    const stuck = world.run({ signal: stop.signal }).catch(() => "stopped");
    while (world.head().rollout?.phase !== "shifting")
      await new Promise((resolve) => setTimeout(resolve, 10));
    stop.abort();
    expect(await stuck).toBe("stopped");
    world.effect = () => {};
    await world.move(world.head().generation, { blue: 100, green: 0 });
    expect(await world.run()).toBe("settled");
    await expectBlueServes();
  });
});

describe("a stage that is watched for its time", () => {
  test("is no hold, however short the patience", async () => {
    world.startLoad();
    const plan = quickPlan("blue-green", { secondsPerHour: 4, checkHours: 0.05, patienceSeconds: 0 });
    const stages = plan.stages.map((stage) => ({ ...stage, hours: 1 }));
    world.request(world.release(["--sim-seed=1"]), { ...plan, stages });
    expect(await world.run({ holdMs: 1000 })).toBe("settled");
    expect(world.head().active).toBe("green");
  });
});
