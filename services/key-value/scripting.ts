import { integer, option, text, word } from "./commands/command.ts";
import { DATA_COMMANDS } from "./commands/index.ts";
import type { ClientState, ConnectionCommand, ServerContext } from "./connection.ts";
import { CommandError, OK, type Reply, Status } from "./resp.ts";

const OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
const KEYS_NOT_AN_INTEGER = "ERR value is not an integer or out of range";

/** Commands that are no commands on the data and yet allowed in scripts. */
const HARMLESS: ReadonlyMap<string, (words: readonly Buffer[]) => Reply> = new Map<
  string,
  (words: readonly Buffer[]) => Reply
>([
  ["ping", (words) => words[0] ?? new Status("PONG")],
  ["select", () => OK],
]);

/** Runs one command of a script; its problems are its reply. */
function runCommand(server: ServerContext, words: readonly Buffer[]): Reply {
  const { keyspace, maxMemoryBytes } = server;
  const name = text(words, 0).toLowerCase();
  const arity = server.arityOf(name);
  if (arity === undefined) return new CommandError("ERR Unknown Redis command called from script");
  if (arity < 0 ? words.length < -arity : words.length !== arity)
    return new CommandError("ERR Wrong number of args calling Redis command from script");
  const args = words.slice(1);
  const command = DATA_COMMANDS.get(name);
  if (command === undefined)
    return (
      HARMLESS.get(name)?.(args) ?? new CommandError("ERR This Redis command is not allowed from script")
    );
  if (command.grows === true && keyspace.bytes > maxMemoryBytes) return new CommandError(OUT_OF_MEMORY);
  try {
    return command.run(keyspace, args);
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  }
}

interface Arguments {
  readonly keys: readonly Buffer[];
  readonly args: readonly Buffer[];
}

function splitArguments(words: readonly Buffer[]): Arguments {
  const count = Number(integer(word(words, 1), KEYS_NOT_AN_INTEGER));
  const rest = words.slice(2);
  if (count > rest.length) throw new CommandError("ERR Number of keys can't be greater than number of args");
  if (count < 0) throw new CommandError("ERR Number of keys can't be negative");
  return { keys: rest.slice(0, count), args: rest.slice(count) };
}

function evaluate(_client: ClientState, words: readonly Buffer[], server: ServerContext): Reply {
  const run = splitArguments(words);
  const sha = server.interpreter.load(word(words, 0));
  return server.interpreter.run(sha, { ...run, command: (command) => runCommand(server, command) });
}

function evaluateKept(_client: ClientState, words: readonly Buffer[], server: ServerContext): Reply {
  const run = splitArguments(words);
  const sha = text(words, 0).toLowerCase();
  return server.interpreter.run(sha, { ...run, command: (command) => runCommand(server, command) });
}

/** Least and most words of each subcommand, with its name. */
const SCRIPT_WORDS = new Map<string, readonly [number, number]>([
  ["LOAD", [2, 2]],
  ["EXISTS", [2, Number.POSITIVE_INFINITY]],
  ["FLUSH", [1, Number.POSITIVE_INFINITY]],
]);

function scriptProblem(words: readonly Buffer[]): CommandError | undefined {
  const subcommand = option(words, 0);
  const wanted = SCRIPT_WORDS.get(subcommand);
  if (wanted === undefined)
    return new CommandError(`ERR unknown subcommand '${text(words, 0)}'. Try SCRIPT HELP.`);
  if (words.length >= wanted[0] && words.length <= wanted[1]) return undefined;
  return new CommandError(`ERR wrong number of arguments for 'script|${subcommand.toLowerCase()}' command`);
}

function script(_client: ClientState, words: readonly Buffer[], { interpreter }: ServerContext): Reply {
  const subcommand = option(words, 0);
  if (subcommand === "LOAD") return Buffer.from(interpreter.load(word(words, 1)));
  if (subcommand === "EXISTS")
    return words.slice(1).map((sha) => (interpreter.has(sha.toString("latin1").toLowerCase()) ? 1 : 0));
  if (words.length > 2 || (words.length === 2 && !["SYNC", "ASYNC"].includes(option(words, 1))))
    throw new CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
  interpreter.flush();
  return OK;
}

/** Scripts in Lua: atomic, as nothing else is served while one runs. */
export const SCRIPT_COMMANDS: Readonly<Record<string, ConnectionCommand>> = {
  eval: { arity: -3, run: evaluate },
  evalsha: { arity: -3, run: evaluateKept },
  script: { arity: -2, problem: scriptProblem, run: script },
};
