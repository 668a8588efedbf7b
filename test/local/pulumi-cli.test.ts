import { execFileSync, spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat, copyProject, TestPlatform } from "./support.ts";

/** The Pulumi CLI with its language host for Node.js: no package registry carries it, so it may be missing. */
const HAS_CLI = ["pulumi", "pulumi-language-nodejs"].every(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0,
);
const STACKS = ["local", "local-blue", "local-traffic"];
const nameOf = (stack: string) => `organization/llm-platform/${stack}`;

let project: ReturnType<typeof copyProject>;
let platform: TestPlatform;

beforeAll(() => {
  project = copyProject();
  platform = new TestPlatform(project.folder);
  const file = path.join(project.folder, "stacks/Pulumi.local.yaml");
  writeFileSync(file, readFileSync(file, "utf8").replace("port: 8080", "port: 0"));
});
afterAll(async () => {
  await platform.close();
  project.remove();
}, 60_000);

function environment(): NodeJS.ProcessEnv {
  const own = path.join(path.dirname(platform.state), "pulumi");
  mkdirSync(path.join(own, "backend"), { recursive: true });
  return {
    ...process.env,
    PATH: `${path.join(project.folder, "node_modules/.bin")}:${process.env.PATH}`,
    PLATFORM_STATE: platform.state,
    PULUMI_BACKEND_URL: `file://${path.join(own, "backend")}`,
    PULUMI_CONFIG_PASSPHRASE_FILE: path.join(platform.state, "passphrase"),
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    PULUMI_HOME: path.join(own, "home"),
    PULUMI_SKIP_UPDATE_CHECK: "true",
  };
}

function pulumi(...args: string[]): string {
  return execFileSync("pulumi", [...args, "--non-interactive"], {
    cwd: project.folder,
    env: environment(),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

describe.skipIf(!HAS_CLI)("the Pulumi CLI (needs pulumi and pulumi-language-nodejs on the PATH)", () => {
  test("takes over the states of the embedded runner and finds nothing to change", {
    timeout: 180_000,
  }, async () => {
    expect((await platform.run("start")).code).toBe(0);
    for (const stack of STACKS) {
      pulumi("stack", "init", nameOf(stack));
      pulumi(
        "stack",
        "import",
        "-s",
        nameOf(stack),
        "--file",
        path.join(platform.state, `stacks/${stack}.json`),
      );
      const preview = JSON.parse(pulumi("preview", "-s", nameOf(stack), "--json"));
      expect(Object.keys(preview.changeSummary), stack).toEqual(expect.arrayContaining(["same"]));
      expect(preview.changeSummary, stack).not.toHaveProperty("create");
      expect(preview.changeSummary, stack).not.toHaveProperty("update");
    }
    const key = pulumi("stack", "output", "-s", nameOf("local"), "demoKey", "--show-secrets").trim();
    expect(key).toBe(await platform.key());
  });

  test("heals a killed process with --refresh", { timeout: 180_000 }, async () => {
    platform.kill("local-blue-gateway");
    pulumi("up", "-s", nameOf("local-blue"), "--yes", "--skip-preview", "--refresh");
    const url = pulumi("stack", "output", "-s", nameOf("local"), "url").trim();
    expect((await chat(url, await platform.key())).status).toBe(200);
  });

  test("destroys the processes and brings them up again", { timeout: 240_000 }, async () => {
    for (const stack of [...STACKS].reverse()) {
      pulumi("destroy", "-s", nameOf(stack), "--yes", "--skip-preview", "--exclude-protected");
    }
    expect(platform.processes().size).toBe(0);
    for (const stack of STACKS) pulumi("up", "-s", nameOf(stack), "--yes", "--skip-preview");
    expect(platform.processes().size).toBe(6);
    const url = pulumi("stack", "output", "-s", nameOf("local"), "url").trim();
    expect((await chat(url, await platform.key())).status).toBe(200);
  });
});

describe.skipIf(!HAS_CLI)(
  "the platform run by the Pulumi CLI (needs pulumi and pulumi-language-nodejs on the PATH)",
  {
    timeout: 400_000,
  },
  () => {
    let own: TestPlatform;
    let checkout: ReturnType<typeof copyProject>;

    beforeAll(() => {
      checkout = copyProject();
      own = new TestPlatform(checkout.folder);
    });
    afterAll(async () => {
      await own.close();
      checkout.remove();
    }, 120_000);

    const tracked = () =>
      Object.fromEntries(
        globSync("stacks/*.yaml", { cwd: checkout.folder }).map((file) => [
          file,
          readFileSync(path.join(checkout.folder, file), "utf8"),
        ]),
      );

    test("is brought up, released to and rolled back, and no tracked file is written", async () => {
      const before = tracked();
      const started = await own.start("--runner", "cli", "--port", "0");
      expect(started.stderr).toBe("");
      expect(started.code).toBe(0);
      const released = await own.run("release", ["local", "--again", "--rate", "150"]);
      expect(released.stderr).toBe("");
      expect(released.code).toBe(0);
      expect(released.stdout).toMatch(/The load: (\d+) requests, \1 answered, 0 failed\./);
      expect((await own.status()).weights).toEqual({ blue: 0, green: 100 });
      expect((await own.run("rollback", ["local"])).code).toBe(0);
      const { gateway, weights } = await own.status();
      expect(weights).toEqual({ blue: 100, green: 0 });
      expect((await chat(String(gateway), await own.key())).status).toBe(200);
      expect(tracked()).toEqual(before);
    });

    test("is not taken over by the other runner while it has states", async () => {
      const { code, stderr } = await own.start("--runner", "embedded");
      expect(code).toBe(1);
      expect(stderr).toMatch(/the states of this platform are with the runner "cli"\.\nremedy:/);
    });
  },
);
