import type { Keyspace } from "../keyspace.ts";
import { CommandError, type Reply } from "../resp.ts";

/** A command on the data, as Redis 7 documents it. */
export interface Command {
  /** Number of words with the command's name; negative: at least so many. */
  readonly arity: number;
  /** Refused once the memory is full. */
  readonly grows?: boolean;
  /** Throws CommandError. `words` are the words after the command's name. */
  run(keyspace: Keyspace, words: readonly Buffer[]): Reply;
}

export type CommandTable = Readonly<Record<string, Command>>;

const MIN_INTEGER = -(2n ** 63n);
const MAX_INTEGER = 2n ** 63n - 1n;

export const WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
export const NOT_AN_INTEGER = "ERR value is not an integer or out of range";
export const SYNTAX_ERROR = "ERR syntax error";

/** The word at a place where the arity guarantees one. */
export function word(words: readonly Buffer[], index: number): Buffer {
  const found = words[index];
  if (found === undefined) throw new CommandError(SYNTAX_ERROR);
  return found;
}

/** Bytes as text that keeps every byte: a key, a field or an option. */
export function text(words: readonly Buffer[], index: number): string {
  return word(words, index).toString("latin1");
}

export function option(words: readonly Buffer[], index: number): string {
  return text(words, index).toUpperCase();
}

/** A 64-bit integer in its only spelling: no plus sign, no leading zero, no space. */
export function integer(value: Buffer, problem = NOT_AN_INTEGER): bigint {
  const digits = value.toString("latin1");
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(digits)) throw new CommandError(problem);
  const number = BigInt(digits);
  if (!isInteger(number)) throw new CommandError(problem);
  return number;
}

export function isInteger(number: bigint): boolean {
  return number >= MIN_INTEGER && number <= MAX_INTEGER;
}

export function sum(a: bigint, b: bigint): bigint {
  if (!isInteger(a + b)) throw new CommandError("ERR increment or decrement would overflow");
  return a + b;
}
