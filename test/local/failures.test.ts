import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import path from "node:path";
import { parse } from "acorn";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { chat, copyProject, outcomeOf, ROOT, TestPlatform } from "./support.ts";

let platform: TestPlatform;
beforeEach(() => {
  platform = new TestPlatform();
});
afterEach(() => platform.close(), 60_000);

/** Waits until the command has shown a line that matches. */
async function shown(child: ReturnType<TestPlatform["spawn"]>, pattern: RegExp): Promise<void> {
  let output = "";
  for await (const text of child.stdout?.setEncoding("utf8").iterator({ destroyOnReturn: false }) ?? []) {
    output += text;
    if (pattern.test(output)) return;
  }
  throw new Error(`never shown: ${pattern} in ${output}`);
}

describe("npm start that cannot succeed", () => {
  test("names a busy port and its remedy, and leaves nothing running", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await platform.start("--port", String(port));
    server.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} cannot be listened on: .*EADDRINUSE`));
    expect(stderr).toContain("npm start -- --port");
    expect(platform.processes().size).toBe(0);
  });

  test("leaves a platform that ran before as it was", async () => {
    await platform.start();
    const before = platform.processes();
    const { gateway } = await platform.status();
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { code } = await platform.start("--port", String(port));
    server.close();
    expect(code).toBe(1);
    const key = await platform.key();
    expect((await chat(gateway ?? "", key)).status).toBe(200);
    expect([...platform.processes().keys()].sort()).toEqual([...before.keys()].sort());
  });

  test.each([["abc"], ["70000"], ["-1"], [""]])(
    "refuses --port %s before anything is changed",
    async (port) => {
      const { code, stderr } = await platform.start(`--port=${port}`);
      expect(code).toBe(1);
      expect(stderr).toMatch(/router\.port: .*give a port \(0 takes any free one\) from 0 to 65535/);
      expect(platform.processes().size).toBe(0);
    },
  );

  test("refuses an option that it does not know, and names those it has", async () => {
    const { code, stderr } = await platform.start("--prot", "1");
    expect(code).toBe(1);
    expect(stderr).toContain("--prot");
    expect(stderr).toContain("remedy: use --port");
  });

  test("says that the state file is broken, and leaves it alone", async () => {
    const file = path.join(platform.state, "stacks/local.json");
    await platform.start();
    await platform.run("stop");
    writeFileSync(file, "{ broken");
    const { code, stderr } = await platform.start();
    expect(code).toBe(1);
    expect(stderr).toContain(`the state file ${file} cannot be read`);
    expect(stderr).toContain("remedy:");
    expect(readFileSync(file, "utf8")).toBe("{ broken");
    expect(platform.processes().size).toBe(0);
  });

  test("says that the passphrase is missing while secrets are sealed with it", async () => {
    await platform.start();
    rmSync(path.join(platform.state, "passphrase"));
    for (const command of ["start", "status", "key"]) {
      const { code, stderr } = await platform.run(command);
      expect(code).toBe(1);
      expect(stderr).toMatch(/passphrase is missing.*\nremedy: restore the file/);
    }
    expect(platform.processes().size).toBe(6);
    expect((await platform.run("stop", ["--purge"])).code).toBe(0);
    expect(platform.processes().size).toBe(0);
  });

  test("refuses a folder that holds something else, which a purge leaves alone, too", async () => {
    mkdirSync(path.join(platform.state, "data"), { recursive: true });
    const { code, stderr } = await platform.start();
    expect(code).toBe(1);
    expect(stderr).toMatch(/is not empty and no state folder.*\nremedy: set PLATFORM_STATE/);
    await platform.run("stop", ["--purge"]);
    expect(existsSync(path.join(platform.state, "data"))).toBe(true);
  });

  test("ends what it began when no chat model ever answers", { timeout: 120_000 }, async () => {
    const { folder, remove } = copyProject();
    const edited = new TestPlatform(folder);
    try {
      const file = path.join(folder, "stacks/Pulumi.local.yaml");
      const dead = '    - name: dead\n      urls: ["http://127.0.0.1:9"]\n';
      writeFileSync(file, readFileSync(file, "utf8").replace(/ {4}- name: simulated-chat.*/s, dead));
      const { code, stderr } = await edited.start();
      expect(code).toBe(1);
      expect(stderr).toMatch(/has no chat model that answers\.\nremedy: read the logs/);
      expect(edited.processes().size).toBe(0);
    } finally {
      await edited.close();
      remove();
    }
  });

  test("refuses the state of a project of another name", async () => {
    await platform.start();
    await platform.run("stop");
    const file = path.join(platform.state, "stacks/local.json");
    writeFileSync(file, readFileSync(file, "utf8").replaceAll("::llm-platform::", "::another::"));
    const { code, stderr } = await platform.start();
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /was made by project "another", this is "llm-platform"\.\nremedy: run `npm stop -- --purge`/,
    );
    expect(platform.processes().size).toBe(0);
  });

  test("says that the disk is full, and how much is needed", async (context) => {
    mkdirSync(platform.state, { recursive: true });
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", platform.state]);
    if (mounted.status !== 0) return context.skip("this user may not mount a small disk");
    try {
      const { code, stderr } = await platform.start();
      expect(code).toBe(1);
      expect(stderr).toMatch(/only \d+ MiB are free .*\nremedy: free some space/);
    } finally {
      spawnSync("umount", [platform.state]);
    }
  });

  test("is refused while another one runs, which goes on", async () => {
    const running = platform.spawn("start", ["--port", "0"]);
    await shown(running, /created/);
    const second = await platform.start();
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/the platform is being changed by process \d+.*\nremedy: wait/);
    expect((await outcomeOf(running)).code).toBe(0);
    expect(platform.processes().size).toBe(6);
  });
});

describe("npm stop", () => {
  test("ends every process although the state is broken, and says so", async () => {
    await platform.start();
    writeFileSync(path.join(platform.state, "stacks/local.json"), "{ broken");
    const { code, stderr } = await platform.run("stop");
    expect(platform.processes().size).toBe(0);
    expect(code).toBe(1);
    expect(stderr).toMatch(/every process is stopped, but: .*the state file .* cannot be read/s);
  });

  test("ends every process although the state of a stack is lost", async () => {
    await platform.start();
    rmSync(path.join(platform.state, "stacks/local-blue.json"));
    expect((await platform.run("stop")).code).toBe(0);
    expect(platform.processes().size).toBe(0);
  });
});

describe.each(["local-blue-gateway", "postgres", "redis"])("%s, when it hangs", (name) => {
  test("is shown by status and restarted by the next npm start", async () => {
    await platform.start();
    process.kill(platform.processes().get(name) ?? Number.NaN, "SIGSTOP");
    const { services } = await platform.status();
    expect(services.filter(({ healthy }) => !healthy).map((service) => service.name)).toEqual([name]);
    const { code, stdout } = await platform.start();
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`~ updated +${name}`));
    const { gateway } = await platform.status();
    expect((await chat(gateway ?? "", await platform.key())).status).toBe(200);
  });

  test("is ended by npm stop", async () => {
    await platform.start();
    process.kill(platform.processes().get(name) ?? Number.NaN, "SIGSTOP");
    expect((await platform.run("stop")).code).toBe(0);
    expect(platform.processes().size).toBe(0);
  });
});

describe("npm start -- --port", () => {
  test("is remembered: a plain npm start after it changes nothing", async () => {
    await platform.start("--port", "0");
    const { code, stdout } = await platform.run("start");
    expect(code).toBe(0);
    expect(stdout).toContain("Nothing to change");
  });
});

describe("npm start, interrupted", () => {
  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "by %s leaves nothing running and says so",
    async (signal) => {
      const running = platform.spawn("start", ["--port", "0"]);
      await shown(running, /created/);
      // A terminal sends Ctrl-C to every process of the group; here the bootstrap and the command are the group.
      const children = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, "utf8").trim();
      for (const child of children.split(" ")) process.kill(Number(child), signal);
      const { code, stderr } = await outcomeOf(running);
      expect(code).toBe(1);
      expect(stderr).toContain("interrupted");
      expect(platform.processes().size).toBe(0);
      expect((await platform.start()).code).toBe(0);
    },
  );

  test("by kill -9 at any moment is mended by the next one, and leaks no process", {
    timeout: 240_000,
  }, async () => {
    // Spread over the run by what it has shown so far.
    for (const moment of [/password/, /redis /, /postgres /, /chat-0/, /gateway /, /weights/]) {
      const running = platform.spawn("start", ["--port", "0"]);
      await shown(running, moment);
      const children = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, "utf8").trim();
      for (const child of children.split(" ").filter(Boolean)) process.kill(Number(child), "SIGKILL");
      await once(running, "close");
      expect((await platform.start()).code).toBe(0);
      expect(platform.processes().size).toBe(6);
      // With the passwords, so that each round begins from nothing.
      expect((await platform.run("stop", ["--purge"])).code).toBe(0);
      expect(platform.processes().size).toBe(0);
    }
  });
});

describe("settings of a stack", () => {
  test("that are wrong are all named at once, before anything is changed", async () => {
    const { folder, remove } = copyProject();
    const edited = new TestPlatform(folder);
    try {
      appendFileSync(path.join(folder, "stacks/Pulumi.local-blue.yaml"), "  llm-platform:modles: []\n");
      const { code, stderr } = await edited.start();
      expect(code).toBe(1);
      expect(stderr).toContain("the settings of stack local-blue are wrong");
      expect(stderr).toMatch(/modles: is no known setting; remove it or correct its spelling/);
      expect(edited.processes().size).toBe(0);
    } finally {
      await edited.close();
      remove();
    }
  });

  test("and the environment's source code, when changed, restart what they concern and nothing else", async () => {
    const { folder, remove } = copyProject();
    const edited = new TestPlatform(folder);
    try {
      await edited.start();
      const before = edited.processes();
      appendFileSync(path.join(folder, "services/router/main.ts"), "\n// changed\n");
      const { code, stdout } = await edited.start();
      expect(code).toBe(0);
      expect(stdout).toMatch(/~ updated +router/);
      const after = edited.processes();
      for (const [name, pid] of before) {
        expect(after.get(name) === pid, name).toBe(name !== "router");
      }
    } finally {
      await edited.close();
      remove();
    }
  });
});

describe("the bootstrap", () => {
  test("says which Node.js is needed when the machine's is too old", () => {
    const fake = "Object.defineProperty(process.versions, 'node', { value: '18.20.0' })";
    const preload = path.join(path.dirname(platform.state), "old.cjs");
    writeFileSync(preload, fake);
    const result = spawnSync(
      process.execPath,
      ["-r", preload, "cli/bootstrap.cjs", "cli/main.ts", "status"],
      {
        cwd: ROOT,
        encoding: "utf8",
      },
    );
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/Node\.js 20 or newer is needed.*\nremedy: install/);
  });

  test("is written so that Node.js of any age can parse it", () => {
    const source = readFileSync(path.join(ROOT, "cli/bootstrap.cjs"), "utf8");
    expect(() => parse(source, { ecmaVersion: 5 })).not.toThrow();
  });
});
