import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import { bundleService } from "../../../services/shared/bundle.ts";
import { HELLO, parseEvents, post } from "./support.ts";

const MAIN = join(import.meta.dirname, "../../../services/model-simulator/main.ts");

function run(args: string[], environment: NodeJS.ProcessEnv = {}, program = MAIN) {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: dirname(program),
    env: { ...process.env, ...environment },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const exited = once(child, "exit").then(([code]) => code);
  return { child, exited, stderr: () => stderr };
}

async function start(args: string[], environment: NodeJS.ProcessEnv = {}, program = MAIN) {
  const process = run(["--port=0", ...args], environment, program);
  const [line] = await once(createInterface(process.child.stdout), "line");
  const { event, url } = JSON.parse(line);
  expect(event).toBe("listening");
  return { ...process, url: String(url) };
}

describe("the simulator's process", () => {
  test("finishes open streams and exits with 0, when SIGTERM comes and there is a shutdown timeout", async () => {
    const { url, child, exited } = await start(["--shutdown-timeout=20", "--sim-time-per-output-token-ms=3"]);
    const response = await post(url, "/v1/chat/completions", {
      messages: HELLO,
      stream: true,
      max_tokens: 200,
      ignore_eos: true,
    });
    child.kill("SIGTERM");
    const { chunks, ended } = parseEvents(await response.text());
    expect([chunks.length, ended, await exited]).toEqual([201, true, 0]);
  });

  test("exits with 0 at once, when SIGTERM comes and nothing is open", async () => {
    const { child, exited } = await start([]);
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
  });

  test("breaks off what is still open, when the shutdown timeout is over", async () => {
    const { url, child, exited } = await start(["--shutdown-timeout=1", "--sim-fault=hang"]);
    const answer = post(url, "/v1/chat/completions", { messages: HELLO }).then(({ status }) => status);
    await expect
      .poll(async () => (await fetch(`${url}/metrics`)).text())
      .toMatch(/num_requests_running\{.*\} 1\n/);
    child.kill("SIGTERM");
    expect([await answer, await exited]).toEqual([500, 0]);
  });

  test("exits with 0, when its engine dies, as vLLM does", async () => {
    const { url, exited } = await start(["--sim-fault=die"]);
    expect((await post(url, "/v1/chat/completions", { messages: HELLO })).status).toBe(500);
    expect(await exited).toBe(0);
  });

  test("guards /v1 with a key that is in the environment only", async () => {
    const { url, child } = await start([], { VLLM_API_KEY: "sekret" });
    expect(child.spawnargs.join(" ")).not.toContain("sekret");
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    expect((await fetch(`${url}/v1/models`, { headers: { authorization: "Bearer sekret" } })).status).toBe(
      200,
    );
  });

  test("names every wrong setting and exits with 1", async () => {
    const { exited, stderr } = run(["--port=x", "--max-num-seqs=0"]);
    expect(await exited).toBe(1);
    expect(JSON.parse(stderr()).problems).toHaveLength(2);
  });

  test("exits with 1, when its port is taken", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { exited, stderr } = run([`--port=${port}`]);
    expect(await exited).toBe(1);
    expect(stderr()).toContain("EADDRINUSE");
  });

  test("exits with 1, when an adapter of the settings is not there", async () => {
    const { exited, stderr } = run(["--port=0", "--enable-lora", "--lora-modules", "a=/nonexistent/adapter"]);
    expect(await exited).toBe(1);
    expect(stderr()).toContain("--lora-modules");
  });
});

describe("the bundle", () => {
  test("is one file that chats with nothing beside it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "model-simulator-bundle-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "model-simulator.mjs");
    await bundleService("model-simulator", file);
    const { url, child, exited } = await start(["--served-model-name=tiny"], {}, file);
    const response = await post(url, "/v1/chat/completions", { messages: HELLO, max_tokens: 5 });
    expect(await response.json()).toMatchObject({ model: "tiny", usage: { completion_tokens: 5 } });
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
  });
});
