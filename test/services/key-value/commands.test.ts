import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { text } from "node:stream/consumers";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect, PASSWORD, realServer, reply, type Server, startEmbedded, startReal } from "./support.ts";

const servers = [
  { kind: "the embedded server", start: () => startEmbedded(), installed: true },
  {
    kind: `a real server (${realServer ?? "needs redis-server or valkey-server on PATH"})`,
    start: () => startReal(realServer ?? ""),
    installed: realServer !== undefined,
  },
];

describe.each(servers)("$kind", ({ start, installed }) => {
  if (!installed) {
    test.skip("the same commands", () => undefined);
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
  });

  test("a string, when set, then it is read back byte for byte", async () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    expect(await redis.set(value, value)).toBe("OK");
    expect(await redis.getBuffer(value)).toEqual(value);
    expect(await redis.get("missing")).toBeNull();
  });

  test("a string of 5 MB, when set, then it is read back whole", async () => {
    const value = Buffer.alloc(5_000_000, "abc");
    await redis.set("large", value);
    expect((await redis.getBuffer("large"))?.equals(value)).toBe(true);
  });

  test("SET, when it has a condition, then it sets only where that holds", async () => {
    expect(await redis.set("key", "1", "XX")).toBeNull();
    expect(await redis.set("key", "1", "NX")).toBe("OK");
    expect(await redis.set("key", "2", "NX")).toBeNull();
    expect(await redis.set("key", "2", "XX", "GET")).toBe("1");
    expect(await redis.get("key")).toBe("2");
  });

  test("a key, when it has an expiry, then it counts down and goes", async () => {
    await redis.set("short", "1", "PX", 50);
    await redis.set("long", "1", "EX", 100);
    expect(await redis.ttl("long")).toBe(100);
    expect(await redis.pttl("long")).toBeGreaterThan(99_000);
    expect([await redis.ttl("missing"), await redis.ttl("short")]).toEqual([-2, 0]);
    await expect.poll(() => redis.get("short")).toBeNull();
    expect(await redis.dbsize()).toBe(1);
  });

  test("an expiry, when the key is written again, then SET drops it and INCR and KEEPTTL keep it", async () => {
    await redis.set("key", "1", "EX", 100);
    await redis.incr("key");
    expect(await redis.ttl("key")).toBe(100);
    await redis.set("key", "5", "KEEPTTL");
    expect(await redis.ttl("key")).toBe(100);
    await redis.set("key", "5");
    expect(await redis.ttl("key")).toBe(-1);
  });

  test("EXPIRE, when it has a condition, then a window is opened once and not pushed on", async () => {
    await redis.set("window", "1");
    expect(await reply(redis, "EXPIRE", "window", "100", "NX")).toBe(1);
    expect(await reply(redis, "EXPIRE", "window", "500", "NX")).toBe(0);
    expect(await reply(redis, "EXPIRE", "window", "50", "GT")).toBe(0);
    expect(await reply(redis, "EXPIRE", "window", "50", "LT")).toBe(1);
    expect(await redis.ttl("window")).toBe(50);
    expect(await reply(redis, "EXPIRE", "window", "-1")).toBe(1);
    expect(await redis.exists("window")).toBe(0);
  });

  test("1,000 increments, when they come from ten clients at once, then none is lost", async () => {
    const clients = Array.from({ length: 10 }, () => connect(server.port));
    await Promise.all(clients.flatMap((client) => Array.from({ length: 100 }, () => client.incr("count"))));
    expect(await redis.get("count")).toBe("1000");
  });

  test("a transaction, when it runs, then no other client's command comes between", async () => {
    const other = connect(server.port);
    const transactions = Array.from({ length: 100 }, async () => {
      const results = await redis.multi().incr("n").get("n").incr("n").exec();
      return results?.map(([, value]) => Number(value));
    });
    await Promise.all(Array.from({ length: 100 }, () => other.incr("n")));
    for (const [first = 0, read, second] of (await Promise.all(transactions)).map((values) => values ?? [])) {
      expect([read, second]).toEqual([first, first + 1]);
    }
  });

  test("a transaction, when one command fails as it runs, then the others count", async () => {
    await redis.set("word", "x");
    const results = await redis.multi().incr("word").incr("n").exec();
    expect(results?.[0]?.[0]?.message).toContain("not an integer");
    expect(results?.[1]).toEqual([null, 1]);
  });

  test("a transaction, when one command is refused at once, then nothing runs", async () => {
    expect(await reply(redis, "MULTI")).toEqual(Buffer.from("OK"));
    await reply(redis, "INCR", "n");
    expect(await reply(redis, "NOSUCH")).toContain("unknown command");
    expect(await reply(redis, "EXEC")).toContain("EXECABORT");
    expect(await redis.exists("n")).toBe(0);
  });

  test("a hash, when its last field goes, then the key goes", async () => {
    expect(await redis.hset("hash", { a: "1", b: "2" })).toBe(2);
    expect(await redis.hset("hash", "a", "3")).toBe(0);
    expect(await redis.hincrby("hash", "a", 4)).toBe(7);
    expect(await redis.hgetall("hash")).toEqual({ a: "7", b: "2" });
    expect(await redis.hdel("hash", "a", "b", "c")).toBe(2);
    expect(await redis.exists("hash")).toBe(0);
  });

  test("SCAN, when followed to its end, then it gives every key that matches once or more", async () => {
    const names = Array.from({ length: 300 }, (_, i) => `limit:${i}`);
    await Promise.all([...names, "other"].map((name) => redis.set(name, "1")));
    const found = new Set<string>();
    let cursor = "0";
    do {
      const [next, keys] = await redis.scan(cursor, "MATCH", "limit:*", "COUNT", 50);
      for (const key of keys) found.add(key);
      cursor = next;
    } while (cursor !== "0");
    expect([...found].sort()).toEqual(names.sort());
  });

  test("10,000 commands, when sent in one pipeline, then the answers come in order", async () => {
    const pipeline = redis.pipeline();
    for (let i = 0; i < 10_000; i += 1) pipeline.incr("count");
    const results = await pipeline.exec();
    expect(results?.map(([, value]) => value)).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1));
  });

  test("a client, when its password is wrong or missing, then it gets nothing", async () => {
    expect(await reply(connect(server.port, "wrong"), "GET", "key")).toMatch(/WRONGPASS|NOAUTH/);
    const socket = connectSocket(server.port, "127.0.0.1");
    socket.write("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*2\r\n$4\r\nAUTH\r\n$5\r\nwrong\r\n*1\r\n$4\r\nQUIT\r\n");
    const answers = (await text(socket)).split("\r\n");
    expect(answers.slice(0, 3)).toEqual([
      "-NOAUTH Authentication required.",
      "-WRONGPASS invalid username-password pair or user is disabled.",
      "+OK",
    ]);
  });

  test("HELLO, when it carries user and password, then it authenticates and names the protocol", async () => {
    const socket = connectSocket(server.port, "127.0.0.1");
    socket.write(
      `*5\r\n$5\r\nHELLO\r\n$1\r\n2\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$${PASSWORD.length}\r\n${PASSWORD}\r\n`,
    );
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/\$5\r\nproto\r\n:2\r\n/);
    socket.end("*1\r\n$4\r\nQUIT\r\n");
    expect(await text(socket)).toBe("+OK\r\n");
  });

  test.each([
    ["too many words", "*11\r\n"],
    ["a word too long", "*1\r\n$20000\r\n"],
    ["a length that is no number", "*1\r\n$x\r\n"],
    ["a count that is no number", "*x\r\n"],
    ["something else than a word", "*1\r\n:1\r\n"],
  ])("an unknown client, when it sends %s, then it is told off and cut", async (_what, bytes) => {
    const socket = connectSocket(server.port, "127.0.0.1");
    socket.write(bytes);
    expect(await text(socket)).toMatch(/^-ERR Protocol error/);
  });

  test("a request, when it comes byte by byte, then it is answered", async () => {
    const socket = connectSocket(server.port, "127.0.0.1");
    socket.setNoDelay(true);
    const bytes = `*2\r\n$4\r\nAUTH\r\n$${PASSWORD.length}\r\n${PASSWORD}\r\n*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n*1\r\n$4\r\nQUIT\r\n`;
    for (const byte of bytes) await new Promise((resolve) => socket.write(byte, resolve));
    expect(await text(socket)).toBe("+OK\r\n$2\r\nhi\r\n+OK\r\n");
  });
});
