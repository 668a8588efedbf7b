import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ALL_MOMENTS, HOLDING, type MomentName, Scene } from "./release-scene.ts";
import type { Command } from "./release-support.ts";

const CASE_MS = 90_000;

let scene: Scene;

beforeAll(async () => {
  scene = await Scene.create();
}, 180_000);
afterAll(() => scene.platform.close(), 120_000);
beforeEach(() => scene.tidy(), CASE_MS);

describe("the command that controls a release, killed", { timeout: CASE_MS }, () => {
  test.each(ALL_MOMENTS)("%s: start tells the truth, then release brings it to its end", async (moment) => {
    await (await scene.reach(moment)).kill();
    const started = await scene.platform.run("start");
    expect(started.code, started.stderr).toBe(0);
    await scene.expectTruth();
    const { rollout } = scene.platform.head;
    const { code, stdout, stderr } = await scene.release();
    expect(stderr).toBe("");
    const isLost = rollout !== undefined && ["reverting", "removing"].includes(rollout.phase);
    expect(code, stdout).toBe(isLost ? 1 : 0);
    if (rollout) expect(scene.platform.head.active).toBe(isLost ? rollout.from : rollout.to);
    await scene.expectSane();
  });

  test.each(ALL_MOMENTS)("%s: rollback brings all traffic back", async (moment) => {
    await (await scene.reach(moment)).kill();
    const { from } = scene.latest;
    const { code, stdout, stderr } = await scene.rollback();
    expect(stderr).toBe("");
    expect(code, stdout).toBe(0);
    expect(scene.platform.head.active).toBe(from);
    await scene.expectSane();
  });
});

describe("Ctrl-C", { timeout: CASE_MS }, () => {
  const moments = ["while a color is brought up", "while it is checked", "while both colors serve"] as const;
  test.each(moments)("%s: the command tells how to go on, and the next one does", async (moment) => {
    const command = await scene.reach(moment);
    command.signal("SIGINT");
    const { code, stderr } = await command.outcome;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /interrupted: traffic stays as it is\.\nremedy: `npm run release -- local` goes on, `npm run rollback -- local` takes the release back\./,
    );
    await scene.expectTruth();
    const { to } = scene.latest;
    expect(scene.platform.head.rollout).toBeDefined();
    const next = await scene.release();
    expect(next.stdout).toMatch(/^Going on with the release onto/);
    expect(next.code, next.stdout).toBe(0);
    expect(scene.platform.head.active).toBe(to);
    await scene.expectSane();
  });
});

describe("a second command", { timeout: CASE_MS }, () => {
  // However long the second command takes to begin, the first one is still there.
  beforeEach(() => scene.platform.setRollout(HOLDING));

  const moments: MomentName[] = [
    "before a color is brought up",
    "while it is checked",
    "before the weights move",
  ];
  test.each(moments)("that rolls back %s, then the release ends by itself and says why", async (moment) => {
    await expectTakenBack(await scene.reach(moment));
  });

  test("that releases while one holds, then it is refused; one that rolls back takes the first one back", async () => {
    const first = await scene.reach("while both colors serve");
    expect(scene.platform.head.weights[scene.idle]).toBe(5);
    const second = await scene.release();
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/the platform is being changed by process \d+.*\nremedy: wait/);
    await expectTakenBack(first);
  });
});

async function expectTakenBack(first: Command): Promise<void> {
  const { from } = scene.latest;
  const back = await scene.rollback();
  expect(back.stderr).toBe("");
  expect(back.code).toBe(0);
  const { code, stdout, stderr } = await first.outcome;
  expect(stderr).toBe("");
  expect(code).toBe(1);
  expect(stdout).toMatch(/was taken back: .*asked for by hand/);
  expect(scene.platform.head.active).toBe(from);
  await scene.expectSane();
}
