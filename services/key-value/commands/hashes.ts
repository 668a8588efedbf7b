import type { Hash, Keyspace } from "../keyspace.ts";
import { CommandError, type Reply } from "../resp.ts";
import { type CommandTable, integer, sum, text, WRONG_TYPE, word } from "./command.ts";

const EMPTY: Hash = new Map();

function hashAt(keyspace: Keyspace, key: string): Hash {
  const value = keyspace.get(key)?.value ?? EMPTY;
  if (!(value instanceof Map)) throw new CommandError(WRONG_TYPE);
  return value;
}

function set(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const key = text(words, 0);
  if (words.length % 2 === 0) throw new CommandError("ERR wrong number of arguments for 'hset' command");
  hashAt(keyspace, key);
  let added = 0;
  for (let i = 1; i < words.length; i += 2) {
    if (keyspace.setField(key, text(words, i), word(words, i + 1))) added += 1;
  }
  return added;
}

function getAll(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  return [...hashAt(keyspace, text(words, 0))].flatMap(([field, value]) => [
    Buffer.from(field, "latin1"),
    value,
  ]);
}

function getMany(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const hash = hashAt(keyspace, text(words, 0));
  return words.slice(1).map((field) => hash.get(field.toString("latin1")) ?? null);
}

function increment(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const key = text(words, 0);
  const field = text(words, 1);
  const amount = integer(word(words, 2));
  const before = hashAt(keyspace, key).get(field);
  const after = sum(before === undefined ? 0n : integer(before, "ERR hash value is not an integer"), amount);
  keyspace.setField(key, field, Buffer.from(String(after)));
  return after;
}

function remove(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const key = text(words, 0);
  hashAt(keyspace, key);
  return words.slice(1).filter((field) => keyspace.deleteField(key, field.toString("latin1"))).length;
}

export const HASH_COMMANDS: CommandTable = {
  hset: { arity: -4, grows: true, run: set },
  hget: {
    arity: 3,
    run: (keyspace, words) => hashAt(keyspace, text(words, 0)).get(text(words, 1)) ?? null,
  },
  hmget: { arity: -3, run: getMany },
  hgetall: { arity: 2, run: getAll },
  hincrby: { arity: 4, grows: true, run: increment },
  hdel: { arity: -3, run: remove },
};
