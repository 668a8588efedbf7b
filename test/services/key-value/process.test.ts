import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { KEY_VALUE_ENV } from "../../../services/key-value/contract.ts";
import { runService, startService } from "../service-process.ts";
import { connect, PASSWORD, reply, startEmbedded, temporaryFolder } from "./support.ts";

function environment(dataFile: string): Record<string, string> {
  return {
    [KEY_VALUE_ENV.port]: "0",
    [KEY_VALUE_ENV.password]: PASSWORD,
    [KEY_VALUE_ENV.dataFile]: dataFile,
  };
}

async function start(env: Record<string, string>) {
  const service = await startService("key-value", env);
  onTestFinished(async () => {
    service.kill("SIGKILL");
    await service.exited;
  });
  return { ...service, port: Number(service.ready.port) };
}

describe("the embedded server's process", () => {
  test("a server, when stopped and started again, then strings, hashes, sorted sets and expiries are there", async () => {
    const env = environment(join(temporaryFolder(), "new", "data.json"));
    const first = await start(env);
    const before = connect(first.port);
    const binary = Buffer.from([0, 255, 13, 10]);
    await before.set("binary", binary, "EX", 1_000);
    await before.hset("hash", "field", binary);
    await before.expire("hash", 500);
    await reply(before, "ZADD", "sorted", "1.5", binary, "-inf", "low", "+inf", "high");
    await before.expire("sorted", 500);
    await before.set("gone", "1", "PX", 1);
    first.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    expect(first.output()).not.toContain(PASSWORD);
    const after = connect((await start(env)).port);
    expect(await after.getBuffer("binary")).toEqual(binary);
    expect((await after.hgetallBuffer("hash")).field).toEqual(binary);
    expect(await after.ttl("binary")).toBeGreaterThan(900);
    expect(await after.ttl("hash")).toBeGreaterThan(400);
    const sorted = (await reply(after, "ZRANGE", "sorted", "0", "-1", "WITHSCORES")) as Buffer[];
    expect(sorted.map(String)).toEqual(["low", "-inf", String(binary), "1.5", "high", "inf"]);
    expect(await after.ttl("sorted")).toBeGreaterThan(400);
    expect(await after.dbsize()).toBe(3);
  });

  test("a server, when killed with -9 after an interval, then what the file had is there", async () => {
    const dataFile = join(temporaryFolder(), "data.json");
    const first = await start(environment(dataFile));
    await connect(first.port).set("key", "value");
    await expect.poll(() => readIfThere(dataFile), { timeout: 10_000 }).toContain("entries");
    first.kill("SIGKILL");
    await first.exited;
    const second = await start(environment(dataFile));
    expect(await connect(second.port).get("key")).toBe("value");
  });

  test.each([
    ["cut short", '{"version":1,"entries":[{"key":"a2V5"'],
    ["of another version", '{"version":2,"entries":[]}'],
    ["of another shape", '{"version":1,"entries":[{"key":1}]}'],
  ])("a data file, when it is %s, then the server refuses to start and leaves it", async (_how, content) => {
    const dataFile = join(temporaryFolder(), "data.json");
    writeFileSync(dataFile, content);
    const { code, output } = await runService("key-value", environment(dataFile));
    expect([code, output.includes(dataFile), output.includes("remedy")]).toEqual([1, true, true]);
    expect(readFileSync(dataFile, "utf8")).toBe(content);
  });

  test("settings, when several are wrong, then all are named at once with code 1 and no secret", async () => {
    const { code, output } = await runService("key-value", {
      [KEY_VALUE_ENV.port]: "x",
      [KEY_VALUE_ENV.password]: "short-secret",
      [KEY_VALUE_ENV.snapshotSeconds]: "0",
      [KEY_VALUE_ENV.maxMemoryBytes]: "1",
    });
    expect(code).toBe(1);
    const { host: _host, ...wrong } = KEY_VALUE_ENV;
    for (const name of Object.values(wrong)) expect(output).toContain(name);
    expect(output).not.toContain("short-secret");
  });
});

describe("the bound of memory", () => {
  test("writes, when the memory is full, then they are refused until something is deleted, and reads go on", async () => {
    const server = await startEmbedded(1_000_000);
    onTestFinished(() => server.stop());
    const redis = connect(server.port);
    const chunk = "x".repeat(100_000);
    let stored = 0;
    while ((await reply(redis, "SET", `key-${stored}`, chunk))?.toString() === "OK") stored += 1;
    expect(stored).toBeLessThanOrEqual(10);
    expect(await reply(redis, "HSET", "hash", "field", chunk)).toContain("OOM");
    expect(await redis.get("key-0")).toBe(chunk);
    await redis.del("key-0");
    expect(await redis.set("small", "1")).toBe("OK");
  });

  test("keys, when they are written, changed and deleted, then the count of memory returns to nothing", async () => {
    const server = await startEmbedded();
    onTestFinished(() => server.stop());
    const redis = connect(server.port);
    const used = async () => Number(/used_memory:(\d+)/.exec(await redis.info())?.[1]);
    await redis.hset("hash", { a: "x".repeat(3_000) });
    await redis.set("string", "x".repeat(3_000));
    const before = await used();
    expect(before).toBeGreaterThan(6_000);
    await redis.hset("hash", { a: "x".repeat(5_000), b: "x".repeat(2_000) });
    expect(await used()).toBeGreaterThan(before + 4_000);
    await redis.hset("hash", "a", "y".repeat(3_000));
    await redis.hdel("hash", "b");
    await redis.set("string", "y".repeat(3_000));
    await redis.set("expired", "1", "PX", 1);
    await expect.poll(() => redis.exists("expired")).toBe(0);
    expect(await used()).toBe(before);
    await redis.del("string", "hash");
    expect(await used()).toBe(0);
  });
});

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
