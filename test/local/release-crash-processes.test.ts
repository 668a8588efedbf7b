import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Color } from "../../release/contract/head.ts";
import { type MomentName, PASSING, Scene } from "./release-scene.ts";
import { until } from "./release-support.ts";

const CASE_MS = 90_000;

let scene: Scene;

beforeAll(async () => {
  scene = await Scene.create();
}, 180_000);
afterAll(() => scene.platform.close(), 120_000);
beforeEach(() => scene.tidy(), CASE_MS);

const MOMENTS: MomentName[] = [
  "while a color is brought up",
  "while it is checked",
  "when the weights have moved and nobody wrote it down",
  "while both colors serve",
  "when it is finished",
  "while the weights go back",
];

const gateway = (color: Color): string => `local-${color}-gateway`;

/** Kills a process while a command works, which ends by itself; then a start heals what is left. */
async function killAt(moment: MomentName, victim: () => string) {
  const { platform } = scene;
  const before = platform.processes();
  const command = await scene.reach(moment);
  const name = victim();
  if (moment === "while a color is brought up" && name === gateway(scene.latest.to))
    await until(
      `${name} is started`,
      () => (platform.processes().get(name) ?? before.get(name)) !== before.get(name),
    );
  platform.kill(name);
  const outcome = await command.outcome;
  const started = await platform.run("start");
  expect(started.code, started.stderr).toBe(0);
  await scene.expectTruth();
  return outcome;
}

describe("while a release is under way", { timeout: CASE_MS }, () => {
  test.each(MOMENTS)("the router, killed %s: start and release bring it to its end", async (moment) => {
    const { code, stderr } = await killAt(moment, () => "router");
    const { rollout, active } = scene.platform.head;
    if (rollout) {
      expect(code).toBe(1);
      expect(stderr).toMatch(/the router at \S+ does not answer/);
    }
    await scene.release();
    const isLost = moment === "while the weights go back";
    if (rollout) expect(scene.platform.head.active).toBe(isLost ? rollout.from : rollout.to);
    else expect(scene.platform.head.active).toBe(active);
    await scene.expectSane();
  });

  test.each(MOMENTS)(
    "the old color's gateway, killed %s: start heals it, rollback reaches it",
    async (moment) => {
      await killAt(moment, () => gateway(scene.latest.from));
      const { rollout, warm, active } = scene.platform.head;
      const { code, stderr } = await scene.rollback();
      if (rollout ?? warm) expect(code, stderr).toBe(0);
      else expect(stderr).toMatch(/there is no release to go back from/);
      expect(scene.platform.head.active).toBe((rollout ?? warm?.rollout)?.from ?? active);
      await scene.expectSane();
    },
  );

  test.each(MOMENTS)("the new color's gateway, killed %s: the old color serves on", async (moment) => {
    scene.platform.setRollout({ ...PASSING, readySeconds: 3 });
    const { stdout } = await killAt(moment, () => gateway(scene.latest.to));
    const kinds = scene.platform.journal.entries().map(({ kind }) => kind);
    const ofRelease = kinds.slice(kinds.lastIndexOf("requested"));
    if (moment === "when it is finished") expect(ofRelease).not.toContain("rolled-back");
    // Before any client is sent there, the color is brought up once more, unless the smoke suite was under way.
    else if (moment === "while it is checked" && ofRelease.includes("finished"))
      expect(stdout).toMatch(/is active on/);
    else expect(ofRelease, stdout).toContain("rolled-back");
    await scene.expectSane();
  });
});
