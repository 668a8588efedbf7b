import type { Keyspace } from "../keyspace.ts";
import { CommandError, OK, type Reply } from "../resp.ts";
import {
  type CommandTable,
  integer,
  isInteger,
  option,
  SYNTAX_ERROR,
  sum,
  text,
  WRONG_TYPE,
  word,
} from "./command.ts";
import { expiryAfter } from "./expiry.ts";

function stringAt(keyspace: Keyspace, key: string): Buffer | undefined {
  const value = keyspace.get(key)?.value;
  if (value === undefined || Buffer.isBuffer(value)) return value;
  throw new CommandError(WRONG_TYPE);
}

interface SetOptions {
  readonly condition: "NX" | "XX" | undefined;
  readonly get: boolean;
  readonly keepTtl: boolean;
  readonly expiry: { readonly unit: "EX" | "PX"; readonly amount: Buffer } | undefined;
}

function once<T>(before: T | undefined, next: T): T {
  if (before !== undefined && before !== next) throw new CommandError(SYNTAX_ERROR);
  return next;
}

function setOptions(words: readonly Buffer[]): SetOptions {
  let options: SetOptions = { condition: undefined, get: false, keepTtl: false, expiry: undefined };
  for (let i = 2; i < words.length; i += 1) {
    const name = option(words, i);
    if (name === "NX" || name === "XX") options = { ...options, condition: once(options.condition, name) };
    else if (name === "GET") options = { ...options, get: true };
    else if (name === "KEEPTTL" && options.expiry === undefined) options = { ...options, keepTtl: true };
    else if (
      (name === "EX" || name === "PX") &&
      (options.expiry?.unit ?? name) === name &&
      !options.keepTtl
    ) {
      i += 1;
      options = { ...options, expiry: { unit: name, amount: word(words, i) } };
    } else throw new CommandError(SYNTAX_ERROR);
  }
  return options;
}

function set(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const key = text(words, 0);
  const { condition, get, keepTtl, expiry } = setOptions(words);
  const expiresAt =
    expiry && expiryAfter(integer(expiry.amount), { unit: expiry.unit, command: "set", now: keyspace.now() });
  const before = keyspace.get(key);
  const previous = get ? (stringAt(keyspace, key) ?? null) : OK;
  if ((condition === "NX" && before !== undefined) || (condition === "XX" && before === undefined)) {
    return get ? previous : null;
  }
  keyspace.set(key, word(words, 1), keepTtl ? before?.expiresAt : expiresAt);
  return previous;
}

function add(keyspace: Keyspace, key: string, amount: bigint): Reply {
  const before = stringAt(keyspace, key);
  const after = sum(before === undefined ? 0n : integer(before), amount);
  keyspace.set(key, Buffer.from(String(after)), keyspace.get(key)?.expiresAt);
  return after;
}

function subtract(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const amount = integer(word(words, 1));
  if (!isInteger(-amount)) throw new CommandError("ERR decrement would overflow");
  return add(keyspace, text(words, 0), -amount);
}

function getMany(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  return words.map((key) => {
    const value = keyspace.get(key.toString("latin1"))?.value;
    return Buffer.isBuffer(value) ? value : null;
  });
}

export const STRING_COMMANDS: CommandTable = {
  get: { arity: 2, run: (keyspace, words) => stringAt(keyspace, text(words, 0)) ?? null },
  set: { arity: -3, grows: true, run: set },
  mget: { arity: -2, run: getMany },
  incr: { arity: 2, grows: true, run: (keyspace, words) => add(keyspace, text(words, 0), 1n) },
  decr: { arity: 2, grows: true, run: (keyspace, words) => add(keyspace, text(words, 0), -1n) },
  incrby: {
    arity: 3,
    grows: true,
    run: (keyspace, words) => add(keyspace, text(words, 0), integer(word(words, 1))),
  },
  decrby: { arity: 3, grows: true, run: subtract },
};
