import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { connect, realServer, reply, type Server, startEmbedded, startReal } from "./support.ts";

const servers = [
  { kind: "the embedded server", start: () => startEmbedded(), installed: true },
  {
    kind: `a real server (${realServer ?? "needs redis-server or valkey-server on PATH"})`,
    start: () => startReal(realServer ?? ""),
    installed: realServer !== undefined,
  },
];

/** Every script, with its reply as text: the same from both servers. */
const SCRIPTS: readonly (readonly [string, unknown])[] = [
  ["return 3.99", 3],
  ["return -3.99", -3],
  ["return 2^53", 9007199254740992],
  ["return {1, 2, nil, 4}", [1, 2]],
  ["return {1, 'a', {ok='s'}, {2}, true, false, 3.7}", [1, "a", "s", [2], 1, null, 3]],
  ["return {{}, {{}}}", [[], [[]]]],
  ["return true", 1],
  ["return false", null],
  ["return nil", null],
  ["return", null],
  ["return function() end", null],
  ["return 'a\\0b\\255'", "a\0b\u00ff"],
  ["return {KEYS[1], ARGV[1], ARGV[2], #KEYS, #ARGV}", ["k", "a", "\u00ff", 1, 2]],
  ["return redis.call('get', 'missing')", null],
  ["return type(redis.call('get', 'missing'))", "boolean"],
  ["return redis.call('set', 'n', 1)", "OK"],
  ["return redis.call('set', 'n', 1).ok", "OK"],
  ["redis.call('set', 'n', 1e15) return redis.call('get', 'n')", "1000000000000000"],
  ["redis.call('set', 'n', 0.1) return redis.call('get', 'n')", "0.10000000000000001"],
  ["redis.call('set', 'n', 3.0) return redis.call('get', 'n')", "3"],
  ["redis.call('set', 'n', 1e300) return redis.call('get', 'n')", "1.0000000000000001e+300"],
  ["return redis.call('incrby', 'n', 3) + 0.5", 3],
  ["return redis.call('hgetall', 'hash')", ["f", "x"]],
  ["return redis.call('zrange', 'z', 0, -1, 'withscores')", ["a", "1", "b", "2.5"]],
  ["return redis.pcall('incr', 'word')", "error: ERR value is not an integer or out of range"],
  ["return redis.pcall('incr', 'word').err", "ERR value is not an integer or out of range"],
  ["return redis.call('nosuch')", /^error: ERR Unknown Redis command called from script script: /],
  ["return redis.call('get')", /^error: ERR Wrong number of args calling Redis command from script script: /],
  ["return redis.call('multi')", /^error: ERR This Redis command is not allowed from script script: /],
  [
    "return redis.call()",
    /^error: ERR Please specify at least one argument for this redis lib call script: /,
  ],
  [
    "return redis.call('get', {})",
    /^error: ERR Lua redis lib command arguments must be strings or integers /,
  ],
  ["return redis.call('incr', 'word')", /^error: ERR value is not an integer or out of range script: /],
  ["local ok = pcall(redis.call, 'incr', 'word') return tostring(ok)", "false"],
  ["\n\nerror('boom')", /^error: ERR user_script:3: boom script: [0-9a-f]{40}, on @user_script:3\.$/],
  ["error({err='MINE is this'})", /^error: MINE is this script: /],
  ["error()", /^error: ERR nil script: /],
  ["return {err='ERR mine'}", "error: ERR mine"],
  ["return redis.error_reply('-ERR mine')", "error: ERR mine"],
  ["return redis.status_reply('FINE')", "FINE"],
  ["return redis.sha1hex('')", "da39a3ee5e6b4b0d3255bfef95601890afd80709"],
  ["x = 1", /Attempt to modify a readonly table/],
  ["return x", /Script attempted to access nonexistent global variable 'x'/],
  ["return os.getenv('HOME')", /error: /],
  ["return io", /error: /],
  ["not lua", /^error: ERR Error compiling script \(new function\): user_script:1: /],
  ["return redis.call('ping')", "PONG"],
];

/** Buffers as text that keeps every byte. */
function plain(answer: unknown): unknown {
  if (Buffer.isBuffer(answer)) return answer.toString("latin1");
  return Array.isArray(answer) ? answer.map(plain) : answer;
}

describe.each(servers)("scripts on $kind", ({ start, installed }) => {
  if (!installed) {
    test.skip("the same scripts", () => undefined);
    return;
  }
  let server: Server;
  let redis: Redis;

  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    redis = connect(server.port);
    await redis.flushdb();
    await reply(redis, "SCRIPT", "FLUSH");
  });

  const evaluate = async (source: string) =>
    plain(await reply(redis, "EVAL", source, "1", "k", "a", Buffer.from([255])));

  test.each(SCRIPTS)(
    "%j, when it runs, then its values are converted as documented",
    async (source, expected) => {
      await redis.set("word", "x");
      await redis.hset("hash", "f", "x");
      await redis.zadd("z", 1, "a", 2.5, "b");
      if (expected instanceof RegExp) expect(await evaluate(source)).toMatch(expected);
      else expect(await evaluate(source)).toEqual(expected);
    },
  );

  test("a script, when it was loaded, then it runs by its SHA-1 until the scripts are flushed", async () => {
    const source = "return ARGV[1] .. KEYS[1]";
    const sha = createHash("sha1").update(source).digest("hex");
    expect(await reply(redis, "EVALSHA", sha, "0")).toBe(
      "error: NOSCRIPT No matching script. Please use EVAL.",
    );
    expect(await redis.script("LOAD", source)).toBe(sha);
    expect(await redis.evalsha(sha.toUpperCase(), 1, "k", "a")).toBe("ak");
    expect(await redis.script("EXISTS", sha, "0".repeat(40))).toEqual([1, 0]);
    expect(await redis.script("FLUSH", "SYNC")).toBe("OK");
    expect(await redis.script("EXISTS", sha)).toEqual([0]);
    expect(await reply(redis, "SCRIPT", "FLUSH", "x")).toContain("only support SYNC|ASYNC");
    expect(await reply(redis, "SCRIPT", "NOSUCH")).toContain("unknown subcommand");
    expect(await reply(redis, "SCRIPT", "LOAD", "not lua")).toContain("Error compiling script");
  });

  test("EVAL, when its count of keys is wrong, then it is refused", async () => {
    expect(await reply(redis, "EVAL", "return 1", "x")).toContain("not an integer");
    expect(await reply(redis, "EVAL", "return 1", "2", "a")).toContain("can't be greater");
    expect(await reply(redis, "EVAL", "return 1", "-1")).toContain("can't be negative");
  });

  test("a script, when it fails half way, then what it wrote before stays", async () => {
    expect(await evaluate("redis.call('set', 'half', 1) error('boom')")).toContain("boom");
    expect(await redis.get("half")).toBe("1");
  });

  test("scripts, when ten clients run them at once, then nothing comes between their commands", async () => {
    const source = "local n = redis.call('get', KEYS[1]) or 0 redis.call('set', KEYS[1], n + 1) return n + 1";
    const clients = Array.from({ length: 10 }, () => connect(server.port));
    const seen = await Promise.all(
      clients.flatMap((client) => Array.from({ length: 50 }, () => client.eval(source, 1, "count"))),
    );
    expect(new Set(seen).size).toBe(500);
    expect(await redis.get("count")).toBe("500");
  });

  test("a script, when it runs within a transaction, then its reply is among the others", async () => {
    const results = await redis.multi().incr("n").eval("return redis.call('incr', KEYS[1])", 1, "n").exec();
    expect(results).toEqual([
      [null, 1],
      [null, 2],
    ]);
  });

  test("TIME, when a script asks for it and then writes, then it is this moment", async () => {
    const source = "local t = redis.call('TIME') redis.call('set', 'at', t[1]) return t";
    const [seconds, micros] = (await redis.eval(source, 0)) as [string, string];
    expect(Math.abs(Number(seconds) * 1000 - Date.now())).toBeLessThan(5_000);
    expect(Number(micros)).toBeLessThan(1_000_000);
  });
});

describe("scripts that never end, on the embedded server", () => {
  test.each([
    ["a loop", "while true do end"],
    ["a loop that swallows errors", "while true do pcall(function() while true do end end) end"],
    ["a table that grows", "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end"],
    ["a string that is too long", "return ('x'):rep(2^40)"],
    ["a table that holds itself", "local t = {} t[1] = t return t"],
  ])("%s, when it runs, then it is ended and other commands go on", async (_what, source) => {
    const server = await startEmbedded();
    onTestFinished(() => server.stop());
    const redis = connect(server.port);
    expect(JSON.stringify(await reply(redis, "EVAL", source, "0"))).toMatch(/error: |\{\}/);
    expect(await redis.eval("return redis.call('set', 'after', 1)", 0)).toBe("OK");
    expect(await redis.get("after")).toBe("1");
  });

  test("10,000 different scripts, when they run, then the server keeps a bounded number of them", async () => {
    const server = await startEmbedded();
    onTestFinished(() => server.stop());
    const redis = connect(server.port);
    const answers = await Promise.all(Array.from({ length: 10_000 }, (_, i) => redis.eval(`return ${i}`, 0)));
    expect(answers).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
    const first = createHash("sha1").update("return 0").digest("hex");
    expect(await redis.script("EXISTS", first)).toEqual([0]);
  });
});
