import { DATA_COMMANDS } from "./commands/index.ts";
import { type ClientState, CONNECTION_COMMANDS, type ServerContext } from "./connection.ts";
import { CommandError, encode, OK, ProtocolError, type Reply, RequestParser, Status } from "./resp.ts";

// As Redis: who has not authenticated may not make the server hold much.
const UNAUTHENTICATED_LIMITS = { maxArguments: 10, maxArgumentBytes: 16_384 };
const MAX_ARGUMENTS = 1024 * 1024;
const WRITE_BYTES = 64 * 1024;
const MAX_QUOTED_CHARACTERS = 128;

const OUT_OF_MEMORY = "OOM command not allowed when used memory > 'maxmemory'.";
const TRANSACTION_COMMANDS: ReadonlyMap<string, { readonly arity: number }> = new Map(
  ["multi", "exec", "discard"].map((name) => [name, { arity: 1 }]),
);

interface Request {
  readonly name: string;
  readonly words: readonly Buffer[];
}

interface Transaction {
  readonly requests: Request[];
  bytes: number;
  broken: boolean;
}

/** How many words a command has, as `Command` says it; undefined for an unknown one. */
export function arityOf(name: string): number | undefined {
  return (CONNECTION_COMMANDS.get(name) ?? DATA_COMMANDS.get(name) ?? TRANSACTION_COMMANDS.get(name))?.arity;
}

function unknownCommand(name: string, words: readonly Buffer[]): CommandError {
  let quoted = "";
  for (const argument of words) {
    if (quoted.length >= MAX_QUOTED_CHARACTERS) break;
    quoted += `'${argument.toString("latin1", 0, MAX_QUOTED_CHARACTERS - quoted.length)}' `;
  }
  const shown = name.slice(0, MAX_QUOTED_CHARACTERS);
  return new CommandError(`ERR unknown command '${shown}', with args beginning with: ${quoted}`);
}

/** One client's connection: who it is and the transaction it has open. */
export class Session {
  readonly #server: ServerContext;
  readonly #client: ClientState;
  readonly #parser = new RequestParser();
  #transaction: Transaction | undefined;

  constructor(server: ServerContext, id: number) {
    this.#server = server;
    this.#client = { id, authenticated: false, name: "" };
  }

  /** The bytes to answer with, until the client quits or breaks the protocol. */
  async *serve(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      this.#parser.push(chunk);
      const ended = yield* this.#answers();
      if (ended) return;
    }
  }

  *#answers(): Generator<Buffer, boolean> {
    let replies: Buffer[] = [];
    let bytes = 0;
    try {
      for (let request = this.#next(); request !== undefined; request = this.#next()) {
        const reply = encode(this.#execute(request));
        replies.push(reply);
        bytes += reply.length;
        if (request.name === "quit") return true;
        if (bytes < WRITE_BYTES) continue;
        yield Buffer.concat(replies);
        replies = [];
        bytes = 0;
      }
      return false;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      replies.push(encode(new CommandError(`ERR Protocol error: ${error.message}`)));
      return true;
    } finally {
      if (replies.length > 0) yield Buffer.concat(replies);
    }
  }

  #next(): (Request & { readonly spelling: string }) | undefined {
    const limits = this.#client.authenticated
      ? { maxArguments: MAX_ARGUMENTS, maxArgumentBytes: this.#server.maxMemoryBytes }
      : UNAUTHENTICATED_LIMITS;
    const [command, ...words] = this.#parser.next(limits) ?? [];
    if (command === undefined) return undefined;
    const spelling = command.toString("latin1");
    return { name: spelling.toLowerCase(), words, spelling };
  }

  #execute(request: Request & { readonly spelling: string }): Reply {
    const problem = this.#check(request);
    if (problem !== undefined) return this.#refuse(request.name, problem);
    if (TRANSACTION_COMMANDS.has(request.name)) return this.#control(request.name);
    return this.#transaction === undefined || request.name === "quit"
      ? this.#run(request)
      : this.#queue(this.#transaction, request);
  }

  #refuse(name: string, problem: CommandError): CommandError {
    if (name === "exec") {
      this.#transaction = undefined;
      const reason = problem.message.replace(/^ERR /, "");
      return new CommandError(`EXECABORT Transaction discarded because of: ${reason}`);
    }
    if (this.#transaction !== undefined) this.#transaction.broken = true;
    return problem;
  }

  /** Why the request cannot be run at all, whatever the data. */
  #check({ name, words, spelling }: Request & { readonly spelling: string }): CommandError | undefined {
    const onConnection = CONNECTION_COMMANDS.get(name);
    const onData = DATA_COMMANDS.get(name);
    const command = onConnection ?? onData ?? TRANSACTION_COMMANDS.get(name);
    if (command === undefined) return unknownCommand(spelling, words);
    const count = words.length + 1;
    if (command.arity < 0 ? count < -command.arity : count !== command.arity) {
      return new CommandError(`ERR wrong number of arguments for '${name}' command`);
    }
    const problem = onConnection?.problem?.(words);
    if (problem !== undefined) return problem;
    if (!this.#client.authenticated && onConnection?.withoutAuthentication !== true) {
      return new CommandError("NOAUTH Authentication required.");
    }
    const full = this.#server.keyspace.bytes > this.#server.maxMemoryBytes;
    return full && onData?.grows === true ? new CommandError(OUT_OF_MEMORY) : undefined;
  }

  #run({ name, words }: Request): Reply {
    try {
      const onConnection = CONNECTION_COMMANDS.get(name);
      if (onConnection !== undefined) return onConnection.run(this.#client, words, this.#server);
      return DATA_COMMANDS.get(name)?.run(this.#server.keyspace, words) ?? null;
    } catch (error) {
      if (error instanceof CommandError) return error;
      throw error;
    }
  }

  #queue(transaction: Transaction, request: Request): Reply {
    transaction.bytes += request.words.reduce((bytes, { length }) => bytes + length, 0);
    if (transaction.bytes > this.#server.maxMemoryBytes) {
      transaction.broken = true;
      return new CommandError(OUT_OF_MEMORY);
    }
    transaction.requests.push(request);
    return new Status("QUEUED");
  }

  #control(name: string): Reply {
    const transaction = this.#transaction;
    if (name === "multi") {
      if (transaction !== undefined) return new CommandError("ERR MULTI calls can not be nested");
      this.#transaction = { requests: [], bytes: 0, broken: false };
      return OK;
    }
    if (transaction === undefined) return new CommandError(`ERR ${name.toUpperCase()} without MULTI`);
    this.#transaction = undefined;
    if (name === "discard") return OK;
    if (transaction.broken) {
      return new CommandError("EXECABORT Transaction discarded because of previous errors.");
    }
    return transaction.requests.map((request) => this.#run(request));
  }
}
