import { createHash, timingSafeEqual } from "node:crypto";
import { integer, option, SYNTAX_ERROR, text, word } from "./commands/command.ts";
import type { Keyspace } from "./keyspace.ts";
import type { Interpreter } from "./lua/interpreter.ts";
import { CommandError, OK, type Reply, Status } from "./resp.ts";
import { SCRIPT_COMMANDS } from "./scripting.ts";

/** What all connections share. */
export interface ServerContext {
  readonly keyspace: Keyspace;
  readonly password: string;
  readonly maxMemoryBytes: number;
  readonly interpreter: Interpreter;
  connections(): number;
  /** How many words a command has; undefined for an unknown one. */
  arityOf(name: string): number | undefined;
}

/** What one connection knows of its client. */
export interface ClientState {
  readonly id: number;
  authenticated: boolean;
  name: string;
}

/** A command on the connection or the server, not on the data. */
export interface ConnectionCommand {
  readonly arity: number;
  readonly withoutAuthentication?: boolean;
  /** Why the words cannot be run, whatever the state; also breaks a transaction. */
  problem?(words: readonly Buffer[]): CommandError | undefined;
  run(client: ClientState, words: readonly Buffer[], server: ServerContext): Reply;
}

/** The release whose behaviour is followed; clients choose their commands by it. */
const REDIS_VERSION = "7.0.0";
const USER = "default";
const WRONG_PASSWORD = "WRONGPASS invalid username-password pair or user is disabled.";

function login(
  client: ClientState,
  [user, password]: readonly [string, string],
  server: ServerContext,
): void {
  const digest = (value: string) => createHash("sha256").update(value, "latin1").digest();
  const expected = Buffer.from(server.password).toString("latin1");
  const right = timingSafeEqual(digest(password), digest(expected));
  if (!right || user !== USER) throw new CommandError(WRONG_PASSWORD);
  client.authenticated = true;
}

function auth(client: ClientState, words: readonly Buffer[], server: ServerContext): Reply {
  if (words.length > 2) throw new CommandError(SYNTAX_ERROR);
  const user = words.length === 2 ? text(words, 0) : USER;
  login(client, [user, text(words, words.length - 1)], server);
  return OK;
}

function protocolVersion(words: readonly Buffer[]): void {
  const version = integer(word(words, 0), "ERR Protocol version is not an integer or out of range");
  if (version !== 2n) throw new CommandError("NOPROTO unsupported protocol version");
}

function hello(client: ClientState, words: readonly Buffer[], server: ServerContext): Reply {
  if (words.length > 0) protocolVersion(words);
  let name: string | undefined;
  for (let i = 1; i < words.length; ) {
    if (option(words, i) === "AUTH" && i + 2 < words.length) {
      login(client, [text(words, i + 1), text(words, i + 2)], server);
      i += 3;
    } else if (option(words, i) === "SETNAME" && i + 1 < words.length) {
      name = clientName(words, i + 1);
      i += 2;
    } else throw new CommandError(`ERR Syntax error in HELLO option '${text(words, i)}'`);
  }
  if (!client.authenticated) {
    throw new CommandError(
      "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
    );
  }
  client.name = name ?? client.name;
  const facts = {
    server: "redis",
    version: REDIS_VERSION,
    proto: 2,
    id: client.id,
    mode: "standalone",
    role: "master",
  };
  return [...Object.entries(facts).flat(), "modules", []];
}

function clientName(words: readonly Buffer[], index: number): string {
  const name = text(words, index);
  if (/^[!-~]*$/.test(name)) return name;
  throw new CommandError("ERR Client names cannot contain spaces, newlines or special characters.");
}

const CLIENT_WORDS = new Map([
  ["ID", 1],
  ["GETNAME", 1],
  ["SETNAME", 2],
  ["SETINFO", 3],
]);

function clientProblem(words: readonly Buffer[]): CommandError | undefined {
  const subcommand = option(words, 0);
  const wanted = CLIENT_WORDS.get(subcommand);
  if (wanted === words.length) return undefined;
  return wanted === undefined
    ? new CommandError(`ERR unknown subcommand '${text(words, 0)}'. Try CLIENT HELP.`)
    : new CommandError(`ERR wrong number of arguments for 'client|${subcommand.toLowerCase()}' command`);
}

function client(state: ClientState, words: readonly Buffer[]): Reply {
  const subcommand = option(words, 0);
  if (subcommand === "ID") return state.id;
  if (subcommand === "GETNAME") return state.name === "" ? null : Buffer.from(state.name, "latin1");
  if (subcommand === "SETNAME") state.name = clientName(words, 1);
  return OK;
}

function info(
  _client: ClientState,
  _words: readonly Buffer[],
  { keyspace, ...server }: ServerContext,
): Reply {
  const lines = [
    "# Server",
    `redis_version:${REDIS_VERSION}`,
    "redis_mode:standalone",
    `process_id:${process.pid}`,
    `uptime_in_seconds:${Math.floor(process.uptime())}`,
    "",
    "# Clients",
    `connected_clients:${server.connections()}`,
    "",
    "# Memory",
    `used_memory:${keyspace.bytes}`,
    `maxmemory:${server.maxMemoryBytes}`,
    "maxmemory_policy:noeviction",
    "",
    "# Persistence",
    "loading:0",
    "",
    "# Replication",
    "role:master",
    "",
    "# Keyspace",
    `db0:keys=${keyspace.size}`,
  ];
  return `${lines.join("\r\n")}\r\n`;
}

function select(_client: ClientState, words: readonly Buffer[]): Reply {
  if (integer(word(words, 0)) !== 0n) throw new CommandError("ERR DB index is out of range");
  return OK;
}

function ping(_client: ClientState, words: readonly Buffer[]): Reply {
  if (words.length > 1) throw new CommandError("ERR wrong number of arguments for 'ping' command");
  return words[0] ?? new Status("PONG");
}

export const CONNECTION_COMMANDS: ReadonlyMap<string, ConnectionCommand> = new Map(
  Object.entries<ConnectionCommand>({
    auth: { arity: -2, withoutAuthentication: true, run: auth },
    hello: { arity: -1, withoutAuthentication: true, run: hello },
    quit: { arity: -1, withoutAuthentication: true, run: () => OK },
    client: { arity: -2, problem: clientProblem, run: client },
    info: { arity: -1, run: info },
    select: { arity: 2, run: select },
    ping: { arity: -1, run: ping },
    ...SCRIPT_COMMANDS,
  }),
);
