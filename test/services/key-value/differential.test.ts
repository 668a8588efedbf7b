import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, realServer, reply, type Server, startEmbedded, startReal } from "./support.ts";

const RUNS = 2_000;

type Words = readonly string[];

const key = fc.constantFrom("a", "b", "c");
const field = fc.constantFrom("f", "g", "");
const INTEGERS = [
  "0",
  "1",
  "-1",
  "7",
  "+1",
  "01",
  "-0",
  " 1",
  "1.5",
  "",
  "x",
  "9223372036854775807",
  "-9223372036854775808",
  "9223372036854775808",
];
const integer = fc.constantFrom(...INTEGERS);
const value = fc.oneof(integer, fc.constantFrom("text", "\r\n", "ÿ", "a b"));
/** Far enough that no key expires while a sequence runs. */
const lifetime = fc.constantFrom("1000", "5000000", "0", "-5", "x", "9223372036854775807", "");
const pattern = fc.constantFrom(
  "*",
  "?",
  "a",
  "[ab]",
  "[^a]",
  "[a-b]",
  "[b-a]",
  "\\a",
  "a*",
  "**b",
  "",
  "[",
  "[a",
  "[]",
  "[^]",
  "[\\]a]",
);

const setOption = fc.oneof(
  fc.constantFrom<Words>(["NX"], ["XX"], ["GET"], ["KEEPTTL"], ["nx"], ["FOO"], ["EX"]),
  fc.tuple(fc.constantFrom("EX", "PX", "ex"), lifetime),
);
const expireOption = fc.constantFrom("NX", "XX", "GT", "LT", "gt", "FOO");
const many = <T>(of: fc.Arbitrary<T>, maxLength = 3) => fc.array(of, { maxLength });

const command: fc.Arbitrary<Words> = fc.oneof(
  fc.tuple(fc.constantFrom("GET", "get", "INCR", "DECR", "TTL", "HGETALL"), key),
  fc.tuple(key, value, many(setOption)).map(([k, v, options]) => ["SET", k, v, ...options.flat()]),
  fc.tuple(fc.constantFrom("INCRBY", "DECRBY"), key, integer),
  fc.tuple(fc.constantFrom("DEL", "EXISTS", "MGET"), key, key),
  fc
    .tuple(fc.constantFrom("EXPIRE", "PEXPIRE"), key, lifetime, many(expireOption, 2))
    .map(([name, k, seconds, options]) => [name, k, seconds, ...options]),
  fc.tuple(key, many(fc.tuple(field, value))).map(([k, pairs]) => ["HSET", k, ...pairs.flat()]),
  fc.tuple(fc.constant("HGET"), key, field),
  fc.tuple(fc.constant("HINCRBY"), key, field, integer),
  fc.tuple(key, field, field).map(([k, f, g]) => ["HDEL", k, f, g]),
  fc.tuple(fc.constant("SCAN"), fc.constantFrom("0", "x"), fc.constant("MATCH"), pattern),
  fc.tuple(
    fc.constant("SCAN"),
    fc.constant("0"),
    fc.constantFrom("COUNT", "TYPE", "FOO"),
    fc.constantFrom("100", "0", "x", "hash", "string"),
  ),
  fc.constantFrom<Words>(
    ["MULTI"],
    ["EXEC"],
    ["DISCARD"],
    ["DBSIZE"],
    ["FLUSHDB"],
    ["FLUSHDB", "ASYNC"],
    ["FLUSHDB", "x"],
  ),
  fc.constantFrom<Words>(
    ["PING"],
    ["PING", "hi"],
    ["PING", "a", "b"],
    ["SELECT", "0"],
    ["SELECT", "1"],
    ["SELECT", "x"],
  ),
  fc.constantFrom<Words>(
    ["GET"],
    ["SET", "a"],
    ["MGET"],
    ["HSET", "a"],
    ["EXEC", "x"],
    ["NOSUCH"],
    ["nosuch", "a", "b\r\nc"],
  ),
  fc.constantFrom<Words>(
    ["CLIENT", "GETNAME"],
    ["CLIENT", "SETNAME", "a b"],
    ["CLIENT", "NOSUCH"],
    ["CLIENT", "GETNAME", "x"],
  ),
  fc.constantFrom<Words>(
    ["HELLO", "x"],
    ["HELLO", "9"],
    ["AUTH", "wrong"],
    ["AUTH", "a", "b", "c"],
    ["HELLO", "2", "FOO"],
  ),
);

/** Makes replies comparable: the order of a scan and the milliseconds that passed are nobody's promise. */
function comparable([name = ""]: Words, answer: unknown): unknown {
  if (name.toUpperCase() === "SCAN" && Array.isArray(answer)) {
    return (answer[1] as Buffer[]).map((found) => found.toString("latin1")).sort();
  }
  return answer;
}

async function run(client: Redis, commands: readonly Words[]): Promise<unknown[]> {
  // In one go, as clients do: the replies come in order.
  const replies = await Promise.all([
    reply(client, "DISCARD"),
    reply(client, "FLUSHDB"),
    ...commands.map((words) => reply(client, ...words)),
  ]);
  return replies.slice(2).map((answer, i) => comparable(commands[i] ?? [], answer));
}

describe.skipIf(realServer === undefined)(
  "beside a real server (needs redis-server or valkey-server on PATH)",
  () => {
    let servers: [Server, Server];

    beforeAll(async () => {
      servers = [await startEmbedded(), await startReal(realServer ?? "")];
    });
    afterAll(async () => {
      await Promise.all(servers.map((server) => server.stop()));
    });

    test(`${RUNS} random sequences of commands, when both servers run them, then every reply is the same`, async () => {
      const [embedded, real] = servers.map(({ port }) => connect(port)) as [Redis, Redis];
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 30 }), async (commands) => {
          expect(await run(embedded, commands)).toEqual(await run(real, commands));
        }),
        { numRuns: RUNS },
      );
    });
  },
);
