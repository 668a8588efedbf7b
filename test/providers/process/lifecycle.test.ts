import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { portPlaceholder } from "../../../providers/process/placeholders.ts";
import { secret } from "../../../providers/wire.ts";
import { Bench, environmentOf, eventually, pidOf, portOf } from "../support.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => {
  vi.unstubAllEnvs();
  bench.close();
});

describe("a process that starts", () => {
  test("create, with a free port asked for, then the process answers on the port in its state", async () => {
    const outs = await bench.create();
    expect(await environmentOf(outs)).toMatchObject({ PORT: String(portOf(outs)) });
    expect(bench.pids()).toEqual([pidOf(outs)]);
    expect(await bench.isThere(outs)).toBe(true);
  });

  test("create, then only the user that deploys can read log and pid file", async () => {
    await bench.create();
    const files = [bench.logFile, ...readdirSync(bench.pidDir).map((name) => join(bench.pidDir, name))];
    expect(files.map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o600]);
  });

  test("create, when the operator's environment holds credentials, then the process gets only what it was given", async () => {
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "operator-credential");
    const outs = await bench.create(bench.inputs({ environment: { TOKEN: secret("s3cret") } }));
    const environment = await environmentOf(outs);
    expect(environment.TOKEN).toBe("s3cret");
    const bySystem = ["PATH", "HOME", "TMPDIR", "LANG", "PWD", "OLDPWD", "SHLVL", "_"];
    const others = Object.keys(environment).filter((name) => !bySystem.includes(name));
    expect(others.sort()).toEqual(["PORT", "TOKEN"]);
  });

  test("create, with a secret in the environment, then the state keeps it marked as secret", async () => {
    const outs = await bench.create(bench.inputs({ environment: { TOKEN: secret("s3cret") } }));
    expect(outs.environment).toEqual({ TOKEN: secret("s3cret") });
  });

  test("create, with a tcp health URL, then it waits until the port accepts", async () => {
    const healthUrl = `tcp://127.0.0.1:${portPlaceholder("PORT")}`;
    const late = `setTimeout(() => require("net").createServer().listen(process.env.PORT, "127.0.0.1"), 150)`;
    const outs = await bench.create(bench.inputs({ healthUrl }, late));
    expect(await bench.isThere(outs)).toBe(true);
  });

  test("create, when the health answer is long, then the process can send all of it", async () => {
    const long = `require("node:http").createServer((request, response) => {
      response.on("close", () => console.log(response.writableFinished ? "all sent" : "hung up"));
      response.end(Buffer.alloc(32 * 1024 * 1024));
    }).listen(process.env.PORT, "127.0.0.1")`;
    await bench.create(bench.inputs({}, long));
    await bench.logged("all sent");
  });

  test("create, when the health answer never ends, then its beginning is enough and the wait is let go", async () => {
    const endless = `require("node:http").createServer((request, response) => {
      response.on("close", () => console.log("let go")).write("well");
    }).listen(process.env.PORT, "127.0.0.1")`;
    const outs = await bench.create(bench.inputs({}, endless));
    expect(await bench.isThere(outs)).toBe(true);
    await bench.logged("let go");
  });

  test("create, without a health URL, then a process that stays counts as started", async () => {
    const { healthUrl: _, ...inputs } = bench.inputs({}, "setInterval(() => {}, 1000)");
    const outs = await bench.create(inputs);
    expect(await bench.isThere(outs)).toBe(true);
  });

  test("the runner, after a create, can end at once and the process lives on", async () => {
    const script = `
      import { platformProvider } from ${JSON.stringify(join(import.meta.dirname, "../../../providers/provider.ts"))};
      const [urn, inputs] = process.argv.slice(1);
      const { outs } = await platformProvider.create(urn, JSON.parse(inputs));
      console.log(JSON.stringify(outs));
    `;
    const args = ["--input-type=module", "-e", script, bench.urn, JSON.stringify(bench.inputs())];
    const runner = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], timeout: 30_000 });
    const [output] = await once(runner.stdout, "data");
    const reported = performance.now();
    const [code] = await once(runner, "exit");
    expect(performance.now() - reported).toBeLessThan(1_500);
    expect(code).toBe(0);
    const outs = JSON.parse(String(output));
    expect(await bench.isThere(outs)).toBe(true);
    await bench.provider.delete("id", bench.urn, outs);
    expect(bench.pids()).toEqual([]);
  });
});

describe("a process that is gone", () => {
  test("read, after kill -9, then it is gone and a create heals it on the same port", async () => {
    const outs = await bench.create();
    process.kill(pidOf(outs), "SIGKILL");
    expect(await bench.isThere(outs)).toBe(false);
    const healed = await bench.create();
    expect(portOf(healed)).toBe(portOf(outs));
    expect(bench.pids()).toEqual([pidOf(healed)]);
  });

  test("read, when the process hangs, then it is still there, and an update of nothing else restarts it", async () => {
    const outs = await bench.create();
    process.kill(pidOf(outs), "SIGSTOP");
    const { id, props } = await bench.provider.read("id", bench.urn, outs);
    expect({ id, unresponsive: props.unresponsive }).toEqual({ id: "id", unresponsive: true });
    expect(await bench.provider.diff("id", bench.urn, props, bench.inputs())).toMatchObject({
      changes: true,
    });
    const { outs: healed } = await bench.provider.update("id", bench.urn, props, bench.inputs());
    expect(bench.pids()).toEqual([pidOf(healed)]);
    expect((await bench.provider.read("id", bench.urn, healed)).props.unresponsive).toBeUndefined();
  });

  test("delete, when the process hangs, then it is ended", async () => {
    const outs = await bench.create();
    process.kill(pidOf(outs), "SIGSTOP");
    const { props } = await bench.provider.read("id", bench.urn, outs);
    await bench.provider.delete("id", bench.urn, props);
    expect(bench.pids()).toEqual([]);
  });

  test("create, when a process that hangs was left behind, then it is ended", async () => {
    process.kill(pidOf(await bench.create()), "SIGSTOP");
    const healed = await bench.create();
    expect(bench.pids()).toEqual([pidOf(healed)]);
  });

  test("create, when the process that hangs could end its work, then it is let to", async () => {
    const drains = `process.on("SIGTERM", () => { console.log("drained"); process.exit(0); });
      require("node:http").createServer((request, response) => response.end()).listen(process.env.PORT, "127.0.0.1");`;
    const outs = await bench.create(bench.inputs({}, drains));
    process.kill(pidOf(outs), "SIGSTOP");
    await bench.create();
    expect(bench.log()).toContain("drained");
  });

  test("read, when only its pid file is lost, then it is still there and a delete ends it", async () => {
    const outs = await bench.create();
    for (const name of readdirSync(bench.pidDir)) rmSync(join(bench.pidDir, name));
    expect(await bench.isThere(outs)).toBe(true);
    await bench.provider.delete("id", bench.urn, outs);
    expect(bench.pids()).toEqual([]);
  });

  test("create, when the process died and left children behind, then the children are ended", async () => {
    const parent = `
      const { spawn } = require("node:child_process");
      spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", process.argv[1]], { stdio: "ignore" });
      require("node:http").createServer((request, response) => response.end()).listen(process.env.PORT, "127.0.0.1");
    `;
    const outs = await bench.create(bench.inputs({}, parent));
    await eventually(() => bench.pids().length === 2);
    process.kill(pidOf(outs), "SIGKILL");
    await eventually(() => bench.pids().length === 1);
    const healed = await bench.create();
    expect(bench.pids()).toEqual([pidOf(healed)]);
  });
});

describe("a process that is deleted", () => {
  test("delete, with the process running, then process and pid file are gone and the log stays", async () => {
    const outs = await bench.create();
    await bench.provider.delete("id", bench.urn, outs);
    expect(bench.pids()).toEqual([]);
    expect(readdirSync(bench.pidDir)).toEqual([]);
    expect(existsSync(bench.logFile)).toBe(true);
  });

  test("delete, when the process is dead already, then it succeeds", async () => {
    const outs = await bench.create();
    process.kill(pidOf(outs), "SIGKILL");
    await bench.provider.delete("id", bench.urn, outs);
    expect(readdirSync(bench.pidDir)).toEqual([]);
  });

  test("delete, when the process finishes its work on SIGTERM, then it is let to", async () => {
    const drains = `process.on("SIGTERM", () => setTimeout(() => { console.log("drained"); process.exit(0) }, 300));
      require("node:http").createServer((request, response) => response.end()).listen(process.env.PORT, "127.0.0.1");`;
    const outs = await bench.create(bench.inputs({}, drains));
    await bench.provider.delete("id", bench.urn, outs);
    expect(bench.log()).toContain("drained");
  });

  test("delete, when the process ignores SIGTERM, then it is killed after the drain time", async () => {
    const stubborn = `process.on("SIGTERM", () => console.log("asked"));
      require("node:http").createServer((request, response) => response.end()).listen(process.env.PORT, "127.0.0.1");`;
    const outs = await bench.create(bench.inputs({ drainSeconds: 0.3 }, stubborn));
    await bench.provider.delete("id", bench.urn, outs);
    expect(bench.log()).toContain("asked");
    expect(bench.pids()).toEqual([]);
  });
});
