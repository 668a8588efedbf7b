import type { Keyspace, Value } from "../keyspace.ts";
import { CommandError, OK, type Reply } from "../resp.ts";
import { SortedSet } from "../sorted-set.ts";
import { type CommandTable, integer, option, SYNTAX_ERROR, text, word } from "./command.ts";
import { globToRegExp } from "./glob.ts";

function flush(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  if (words.length > 1 || (words.length === 1 && !["SYNC", "ASYNC"].includes(option(words, 0)))) {
    throw new CommandError(SYNTAX_ERROR);
  }
  keyspace.clear();
  return OK;
}

interface ScanFilter {
  readonly pattern: RegExp;
  readonly type: string | undefined;
}

function scanFilter(words: readonly Buffer[]): ScanFilter {
  let filter: ScanFilter = { pattern: globToRegExp("*"), type: undefined };
  for (let i = 1; i < words.length; i += 2) {
    const name = option(words, i);
    const value = word(words, i + 1);
    if (name === "MATCH") filter = { ...filter, pattern: globToRegExp(value.toString("latin1")) };
    else if (name === "TYPE") filter = { ...filter, type: value.toString("latin1").toLowerCase() };
    else if (name !== "COUNT") throw new CommandError(SYNTAX_ERROR);
    else if (integer(value) < 1n) throw new CommandError(SYNTAX_ERROR);
  }
  return filter;
}

function typeOf(value: Value): string {
  if (Buffer.isBuffer(value)) return "string";
  return value instanceof SortedSet ? "zset" : "hash";
}

/** COUNT is a hint: the first call answers with every key, and so the cursor is 0 at once. */
function scan(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const cursor = text(words, 0);
  if (!/^\d{1,20}$/.test(cursor)) throw new CommandError("ERR invalid cursor");
  const { pattern, type } = scanFilter(words);
  const found: Buffer[] = [];
  if (Number(cursor) === 0) {
    for (const [key, { value }] of keyspace.entries()) {
      const fits = type === undefined || type === typeOf(value);
      if (fits && pattern.test(key)) found.push(Buffer.from(key, "latin1"));
    }
  }
  return ["0", found];
}

function size(keyspace: Keyspace): Reply {
  keyspace.sweep();
  return keyspace.size;
}

/** Seconds since 1970, and microseconds: those of a clock of milliseconds. */
function time(keyspace: Keyspace): Reply {
  const now = keyspace.now();
  return [String(Math.floor(now / 1000)), String((now % 1000) * 1000)];
}

export const KEY_COMMANDS: CommandTable = {
  del: {
    arity: -2,
    run: (keyspace, words) => words.filter((key) => keyspace.delete(key.toString("latin1"))).length,
  },
  exists: {
    arity: -2,
    run: (keyspace, words) =>
      words.filter((key) => keyspace.get(key.toString("latin1")) !== undefined).length,
  },
  flushdb: { arity: -1, run: flush },
  // There is one database.
  flushall: { arity: -1, run: flush },
  dbsize: { arity: 1, run: size },
  time: { arity: 1, run: time },
  scan: { arity: -2, run: scan },
};
