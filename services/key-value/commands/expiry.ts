import type { Entry, Keyspace } from "../keyspace.ts";
import { CommandError, type Reply } from "../resp.ts";
import { type CommandTable, integer, isInteger, option, text, word } from "./command.ts";

interface ExpiryContext {
  readonly unit: "EX" | "PX";
  /** Named in the error. */
  readonly command: string;
  readonly now: number;
  /** A time in the past is allowed: it deletes the key. Default false. */
  readonly past?: boolean;
}

/** The moment `amount` seconds (EX) or milliseconds (PX) from now, in milliseconds since the epoch. */
export function expiryAfter(amount: bigint, { unit, command, now, past = false }: ExpiryContext): number {
  const milliseconds = unit === "EX" ? amount * 1000n : amount;
  const moment = milliseconds + BigInt(now);
  if (!isInteger(milliseconds) || !isInteger(moment) || (!past && amount <= 0n)) {
    throw new CommandError(`ERR invalid expire time in '${command}' command`);
  }
  return Number(moment);
}

const CONDITIONS = ["NX", "XX", "GT", "LT"] as const;
type Condition = (typeof CONDITIONS)[number];

function conditions(words: readonly Buffer[]): ReadonlySet<Condition> {
  const found = new Set<Condition>();
  for (let i = 2; i < words.length; i += 1) {
    const known = CONDITIONS.find((condition) => condition === option(words, i));
    if (known === undefined) throw new CommandError(`ERR Unsupported option ${text(words, i)}`);
    found.add(known);
  }
  if (found.has("NX") && found.size > 1) {
    throw new CommandError("ERR NX and XX, GT or LT options at the same time are not compatible");
  }
  if (found.has("GT") && found.has("LT")) {
    throw new CommandError("ERR GT and LT options at the same time are not compatible");
  }
  return found;
}

function holds(condition: Condition, before: number | undefined, after: number): boolean {
  if (condition === "NX") return before === undefined;
  if (condition === "XX") return before !== undefined;
  // No expiry counts as never.
  const current = before ?? Number.POSITIVE_INFINITY;
  return condition === "GT" ? after > current : after < current;
}

function expire(unit: "EX" | "PX", command: string) {
  return (keyspace: Keyspace, words: readonly Buffer[]): Reply => {
    const key = text(words, 0);
    const required = conditions(words);
    const now = keyspace.now();
    const after = expiryAfter(integer(word(words, 1)), { unit, command, now, past: true });
    const entry = keyspace.get(key);
    if (entry === undefined) return 0;
    if (![...required].every((condition) => holds(condition, entry.expiresAt, after))) return 0;
    if (after <= now) keyspace.delete(key);
    else keyspace.expire(key, after);
    return 1;
  };
}

const NO_KEY = -2;
const NO_EXPIRY = -1;

function remaining(entry: Entry | undefined, now: number): number {
  if (entry === undefined) return NO_KEY;
  return entry.expiresAt === undefined ? NO_EXPIRY : entry.expiresAt - now;
}

function ttl(keyspace: Keyspace, words: readonly Buffer[]): Reply {
  const milliseconds = remaining(keyspace.get(text(words, 0)), keyspace.now());
  return milliseconds < 0 ? milliseconds : Math.floor((milliseconds + 500) / 1000);
}

export const EXPIRY_COMMANDS: CommandTable = {
  expire: { arity: -3, run: expire("EX", "expire") },
  pexpire: { arity: -3, run: expire("PX", "pexpire") },
  ttl: { arity: 2, run: ttl },
  pttl: { arity: 2, run: (keyspace, words) => remaining(keyspace.get(text(words, 0)), keyspace.now()) },
};
