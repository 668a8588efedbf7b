import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat, TestPlatform } from "./support.ts";

interface Ready {
  dependencies: { name: string; status: string }[];
}

let platform: TestPlatform;
let emptyPath: string;
beforeAll(() => {
  platform = new TestPlatform();
  emptyPath = mkdtempSync(path.join(tmpdir(), "path-"));
});
afterAll(async () => {
  await platform.close();
  rmSync(emptyPath, { recursive: true, force: true });
}, 60_000);

describe("npm start on a machine with no program but Node.js", () => {
  test("runs the embedded stand-in for Redis, and the gateway reaches it", async () => {
    const { code, stderr } = await platform.run("start", ["--port", "0"], { PATH: emptyPath });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { gateway, services } = await platform.status();
    expect(services.find(({ name }) => name === "redis")).toMatchObject({ kind: "embedded", healthy: true });
    const dependencies = async () => ((await (await fetch(`${gateway}/ready`)).json()) as Ready).dependencies;
    const up = (name: string) => ({ name, status: "up" });
    await expect.poll(dependencies, { timeout: 10_000 }).toEqual([up("key-value"), up("ledger")]);
    expect((await chat(gateway ?? "", await platform.key())).status).toBe(200);
  });
});
