import type { Keyspace } from "../keyspace.ts";
import { CommandError, type Reply } from "../resp.ts";
import { type Scored, SortedSet } from "../sorted-set.ts";
import { type CommandTable, integer, option, SYNTAX_ERROR, text, WRONG_TYPE, word } from "./command.ts";

const NOT_A_FLOAT = "ERR value is not a valid float";
const NOT_A_BOUND = "ERR min or max is not a float";
const NUMBER = /^[+-]?(?:inf(?:inity)?|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)$/i;
const EMPTY = new SortedSet();

function sortedSetAt(keyspace: Keyspace, key: string): SortedSet {
  const value = keyspace.get(key)?.value ?? EMPTY;
  if (!(value instanceof SortedSet)) throw new CommandError(WRONG_TYPE);
  return value;
}

function number(digits: string, problem: string): number {
  if (!NUMBER.test(digits)) throw new CommandError(problem);
  if (/inf/i.test(digits))
    return digits.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(digits);
}

function scoreText(score: number): Buffer {
  if (!Number.isFinite(score)) return Buffer.from(score > 0 ? "inf" : "-inf");
  // As C writes it: -0 keeps its sign, large numbers have an exponent.
  if (Object.is(score, -0)) return Buffer.from("-0");
  return Buffer.from(Math.abs(score) < 1e17 ? String(score) : score.toExponential());
}

type Flag = "NX" | "XX" | "GT" | "LT" | "CH" | "INCR";
const FLAGS: readonly Flag[] = ["NX", "XX", "GT", "LT", "CH", "INCR"];

function flagsOf(words: readonly Buffer[]): { readonly flags: ReadonlySet<Flag>; readonly next: number } {
  const flags = new Set<Flag>();
  let next = 1;
  for (; next < words.length; next += 1) {
    const flag = FLAGS.find((known) => known === option(words, next));
    if (flag === undefined) break;
    flags.add(flag);
  }
  return { flags, next };
}

function checkFlags(flags: ReadonlySet<Flag>, pairs: readonly Buffer[]): void {
  if (pairs.length === 0 || pairs.length % 2 === 1) throw new CommandError(SYNTAX_ERROR);
  if (flags.has("NX") && flags.has("XX"))
    throw new CommandError("ERR XX and NX options at the same time are not compatible");
  if ((flags.has("GT") && flags.has("LT")) || (flags.has("NX") && (flags.has("GT") || flags.has("LT"))))
    throw new CommandError("ERR GT, LT, and/or NX options at the same time are not compatible");
  if (flags.has("INCR") && pairs.length > 2)
    throw new CommandError("ERR INCR option supports a single increment-element pair");
}

/** The score that a member gets; undefined when the flags leave it as it is. */
function scoreAfter(before: number | undefined, given: number, flags: ReadonlySet<Flag>): number | undefined {
  if (before === undefined) return flags.has("XX") ? undefined : given;
  if (flags.has("NX")) return undefined;
  const after = flags.has("INCR") ? before + given : given;
  if (Number.isNaN(after)) throw new CommandError("ERR resulting score is not a number (NaN)");
  if ((flags.has("GT") && after <= before) || (flags.has("LT") && after >= before)) return undefined;
  return after;
}

function add(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const { flags, next } = flagsOf(words);
  const pairs = words.slice(next);
  checkFlags(flags, pairs);
  const scores = pairs
    .filter((_, i) => i % 2 === 0)
    .map((digits) => number(digits.toString("latin1"), NOT_A_FLOAT));
  const key = text(words, 0);
  sortedSetAt(keyspace, key);
  let added = 0;
  let changed = 0;
  let last: number | undefined;
  for (const [index, given] of scores.entries()) {
    const member = text(pairs, index * 2 + 1);
    const before = sortedSetAt(keyspace, key).score(member);
    last = scoreAfter(before, given, flags);
    if (last === undefined) continue;
    if (before === undefined) added += 1;
    else if (last !== before) changed += 1;
    keyspace.setScore(key, member, last);
  }
  if (flags.has("INCR")) return last === undefined ? null : scoreText(last);
  return flags.has("CH") ? added + changed : added;
}

function remove(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const key = text(words, 0);
  sortedSetAt(keyspace, key);
  return words.slice(1).filter((member) => keyspace.deleteMember(key, member.toString("latin1"))).length;
}

type Within = (score: number) => boolean;

function between(min: string, max: string): Within {
  const low = number(min.replace(/^\(/, ""), NOT_A_BOUND);
  const high = number(max.replace(/^\(/, ""), NOT_A_BOUND);
  return (score) =>
    (min.startsWith("(") ? score > low : score >= low) &&
    (max.startsWith("(") ? score < high : score <= high);
}

function byScore(keyspace: Keyspace, words: readonly Buffer[]): readonly Scored[] {
  const within = between(text(words, 1), text(words, 2));
  return sortedSetAt(keyspace, text(words, 0)).members.filter(({ score }) => within(score));
}

function removeByScore(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const found = byScore(keyspace, words);
  for (const { member } of found) keyspace.deleteMember(text(words, 0), member);
  return found.length;
}

function withScores(found: readonly Scored[], wanted: boolean): Reply {
  return found.flatMap(({ member, score }) => {
    const bytes = Buffer.from(member, "latin1");
    return wanted ? [bytes, scoreText(score)] : [bytes];
  });
}

/** By places only, the first or the last first. */
function range(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const options = words.slice(3).map((_, i) => option(words, i + 3));
  const known = options.every((name) => name === "REV" || name === "WITHSCORES");
  if (!known || options.filter((name) => name === "REV").length > 1) throw new CommandError(SYNTAX_ERROR);
  const [first, last] = [integer(word(words, 1)), integer(word(words, 2))];
  const { members } = sortedSetAt(keyspace, text(words, 0));
  const ordered = options.includes("REV") ? members.toReversed() : members;
  const place = (index: bigint) => (index < 0n ? Math.max(0, members.length + Number(index)) : Number(index));
  const end = last < 0n ? members.length + Number(last) : Number(last);
  return withScores(ordered.slice(place(first), Math.max(0, end + 1)), options.includes("WITHSCORES"));
}

function score(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const found = sortedSetAt(keyspace, text(words, 0)).score(text(words, 1));
  return found === undefined ? null : scoreText(found);
}

export const SORTED_SET_COMMANDS: CommandTable = {
  zadd: { arity: -4, grows: true, run: add },
  zrem: { arity: -3, run: remove },
  zcard: { arity: 2, run: (keyspace, words) => sortedSetAt(keyspace, text(words, 0)).size },
  zscore: { arity: 3, run: score },
  zcount: { arity: 4, run: (keyspace, words) => byScore(keyspace, words).length },
  zrange: { arity: -4, run: range },
  zremrangebyscore: { arity: 4, run: removeByScore },
};
