import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { explain } from "../../../providers/process/errors.ts";
import { secret } from "../../../providers/wire.ts";
import { Bench, failure } from "../support.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

/** The message of a create that fails and leaves neither a process nor a pid file. */
async function refused(changes: object, script?: string): Promise<string> {
  const { message } = await failure(bench.create(bench.inputs({ ...changes }, script)));
  expect(bench.pids()).toEqual([]);
  expect(readdirSync(bench.folder).includes("pids") ? readdirSync(bench.pidDir) : []).toEqual([]);
  return message;
}

describe("a create that fails", () => {
  test("create, when the process crashes, then exit code and the last 20 lines are shown without secrets", async () => {
    const script = `
      for (let line = 1; line <= 50; line += 1) console.log("line " + line);
      console.log("key " + process.env.KEY + " json " + JSON.stringify({ key: process.env.KEY }));
      console.log("url " + encodeURIComponent(process.env.KEY));
      process.exitCode = 7;
    `;
    const message = await refused({ environment: { KEY: secret('se"cret/one') } }, script);
    expect(message).toContain("process web: the process exited with code 7 before it was healthy");
    expect(message).toContain("line 50");
    expect(message).toContain("line 33");
    expect(message).not.toContain("line 32");
    expect(message).toContain('key [secret] json {"key":"[secret]"}');
    expect(message).toContain("url [secret]");
    expect(message).not.toMatch(/se.{0,3}cret.{1,3}one/);
  });

  test("create, when an earlier run logged to the same file, then only this run's lines are shown", async () => {
    await refused({}, `console.log("first run"); process.exit(1)`);
    const message = await refused({}, `console.log("second run"); process.exit(1)`);
    expect(message).toContain("second run");
    expect(message).not.toContain("first run");
  });

  test("create, when a secret of several lines is logged, then none of its lines is shown", async () => {
    const key = "-----BEGIN KEY-----\nabcdef\nghijkl\n-----END KEY-----";
    const message = await refused(
      { environment: { KEY: secret(key) } },
      `for (const line of process.env.KEY.split("\\n")) console.log("> " + line); process.exit(1)`,
    );
    expect(message).not.toMatch(/abcdef|ghijkl/);
  });

  test("create, when a signal ends the process, then the error names it", async () => {
    expect(await refused({}, `process.kill(process.pid, "SIGABRT")`)).toContain("was ended by SIGABRT");
  });

  test("create, when it never becomes healthy, then the error names time, URL and argument", async () => {
    const message = await refused({ startSeconds: 0.5 }, `console.log("idle"); setInterval(() => {}, 1000)`);
    expect(message).toMatch(/not healthy within 0.5 s \(http:\/\/127.0.0.1:\d+\/; startSeconds/);
    expect(message).toContain("idle");
  });

  test("create, when health answers 503, then it is not healthy", async () => {
    const unwell = `require("node:http").createServer((request, response) => { response.statusCode = 503; response.end() })
      .listen(process.env.PORT, "127.0.0.1")`;
    expect(await refused({ startSeconds: 0.5 }, unwell)).toContain("not healthy within");
  });

  test("create, when interrupted, then the wait ends at once and a later create runs", async () => {
    const failed = refused({}, `console.log("started"); setInterval(() => {}, 1000)`);
    await bench.logged("started");
    await bench.provider.cancel();
    expect(await failed).toContain("interrupted");
    expect(await bench.isThere(await bench.create())).toBe(true);
  });

  test("create, when the executable is missing, then the error names it and the remedy", async () => {
    expect(await refused({ command: ["no-such-executable"] })).toContain(
      "command no-such-executable is not found on its PATH: install it",
    );
    expect(await refused({ command: [bench.folder] })).toContain("is no executable file");
  });

  test("create, when a secret is a part of what the error names, then it is masked", async () => {
    const message = await refused({ command: [secret("/opt/s3cret/run")] });
    expect(message).toContain("command [secret] is no executable file");
  });

  test("create, when the working folder is missing, then the error names it", async () => {
    expect(await refused({ cwd: join(bench.folder, "nowhere") })).toMatch(/cwd .*nowhere is no folder/);
  });

  test("create, when the log's folder cannot be made, then the error says why", async () => {
    writeFileSync(join(bench.folder, "file"), "");
    const message = await refused({ logFile: join(bench.folder, "file", "web.log") });
    expect(message).toMatch(/cannot open log file .*: a part of the path is a file/);
  });

  test("create, when the log file is a folder, then the error says so", async () => {
    mkdirSync(bench.logFile, { recursive: true });
    expect(await refused({})).toMatch(/cannot open log file .*: the path is a folder/);
  });

  test("create, when the pid folder cannot be made, then the error says why", async () => {
    writeFileSync(join(bench.folder, "file"), "");
    const { message } = await failure(bench.create(bench.inputs({ pidDir: join(bench.folder, "file") })));
    expect(message).toMatch(/pid file .*: a part of the path is a file/);
    expect(bench.pids()).toEqual([]);
  });

  test("an error of the system, when the disk is full, then its words name the remedy", () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    expect(explain("cannot write pid file /p", full).message).toBe(
      "cannot write pid file /p: the disk is full: free some space (ENOSPC)",
    );
  });
});
