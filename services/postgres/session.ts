import { createHash, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import { POSTGRES_DATABASE, POSTGRES_USER } from "./contract.ts";
import type { Gate } from "./gate.ts";
import {
  fatal,
  MessageReader,
  NO_ENCRYPTION,
  ProtocolError,
  parsePassword,
  parseStartup,
  passwordRequest,
  ROLLBACK,
  SYNC,
  typeOf,
} from "./protocol.ts";

/** What a session needs of PGlite. */
export interface Database {
  run(messages: Buffer, onData: (data: Buffer) => void): Promise<void>;
  isInTransaction(): boolean;
}

export interface SessionContext {
  readonly database: Database;
  readonly gate: Gate;
  /** Undefined lets every client in. */
  readonly password: string | undefined;
  readonly idleTransactionMs: number;
  /** Whether one more authenticated session may start. */
  admit(): boolean;
}

const AUTHENTICATION_MS = 10_000;
const MAX_PASSWORD_BYTES = 1_024;
const QUERY = "Q";
const FLUSH = "H";
const SYNCHRONIZE = "S";
const TERMINATE = "X";

function sameSecret(a: string, b: string): boolean {
  const digest = (value: string) => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** The session ends; the client is told why. */
class FatalError extends Error {
  readonly sqlState: string;
  constructor(sqlState: string, message: string) {
    super(message);
    this.sqlState = sqlState;
  }
}

const SHUTDOWN = new FatalError("57P01", "the server is shutting down");

/**
 * One client's connection. PGlite is a single PostgreSQL session, so messages of two clients must not mix: a client's
 * messages are collected up to its Sync and run in one go, and an open transaction keeps the others out.
 */
export class Session {
  readonly #socket: Socket;
  readonly #context: SessionContext;
  readonly #reader = new MessageReader();
  #startup: Buffer | undefined;
  #authenticated = false;
  #unit: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #stopping = false;

  constructor(socket: Socket, context: SessionContext) {
    this.#socket = socket;
    this.#context = context;
  }

  /** Serves until the client leaves, breaks the protocol, idles in a transaction or stop() is called. */
  async serve(): Promise<void> {
    this.#expireAfter(AUTHENTICATION_MS, new FatalError("08006", "authentication took too long"));
    try {
      // Iterating pauses the socket while a unit runs: a fast sender cannot fill the memory.
      for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
        this.#reader.push(chunk);
        await this.#handleMessages();
        if (this.#stopping) break;
      }
      this.#end(SHUTDOWN);
    } catch (error) {
      this.#report(error);
    } finally {
      clearTimeout(this.#timer);
      await this.#abandonTransaction();
    }
  }

  /** Lets a running unit finish, then ends the session. */
  stop(): void {
    this.#stopping = true;
    if (!this.#running) this.#end(SHUTDOWN);
  }

  #report(error: unknown): void {
    if (error instanceof FatalError) this.#end(error);
    else if (error instanceof ProtocolError) this.#end(new FatalError("08P01", error.message));
    else if (!(error instanceof Error && "code" in error)) throw error;
  }

  #end(reason: FatalError): void {
    if (this.#socket.writable) this.#socket.write(fatal(reason.sqlState, reason.message));
    this.#socket.destroySoon();
  }

  #expireAfter(milliseconds: number, reason: FatalError): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(reason), milliseconds);
  }

  async #handleMessages(): Promise<void> {
    while (this.#socket.writable && !this.#stopping) {
      const bytes = this.#authenticated ? this.#reader.next() : this.#nextOfStartup();
      if (bytes === undefined) return;
      if (!this.#authenticated) await this.#authenticate(bytes);
      else if (typeOf(bytes) === TERMINATE) this.#socket.destroySoon();
      else await this.#collect(bytes);
    }
  }

  #nextOfStartup(): Buffer | undefined {
    return this.#startup === undefined ? this.#reader.nextStartup() : this.#reader.next(MAX_PASSWORD_BYTES);
  }

  async #authenticate(bytes: Buffer): Promise<void> {
    const { password } = this.#context;
    if (this.#startup !== undefined) {
      if (password !== undefined && !sameSecret(parsePassword(bytes), password)) {
        throw new FatalError("28P01", `password authentication failed for user "${POSTGRES_USER}"`);
      }
      await this.#begin(this.#startup);
      return;
    }
    this.#startup = this.#greet(bytes);
    if (this.#startup === undefined) return;
    if (password === undefined) await this.#begin(this.#startup);
    else this.#socket.write(passwordRequest());
  }

  async #begin(startup: Buffer): Promise<void> {
    if (!this.#context.admit()) throw new FatalError("53300", "sorry, too many clients already");
    this.#authenticated = true;
    clearTimeout(this.#timer);
    await this.#run(startup);
  }

  /** The packet if it starts a session. */
  #greet(packet: Buffer): Buffer | undefined {
    const startup = parseStartup(packet);
    if (startup.kind === "encryption") {
      this.#socket.write(NO_ENCRYPTION);
      return undefined;
    }
    if (startup.kind === "cancel") {
      // Queries run to their end: there is no second process that could interrupt one.
      this.#socket.destroySoon();
      return undefined;
    }
    const user = startup.parameters.get("user");
    const database = startup.parameters.get("database") ?? user;
    if (user !== POSTGRES_USER) throw new FatalError("28000", "this user does not exist");
    if (database !== POSTGRES_DATABASE) throw new FatalError("3D000", "this database does not exist");
    return packet;
  }

  async #collect(bytes: Buffer): Promise<void> {
    this.#unit.push(bytes);
    const type = typeOf(bytes);
    if (type !== QUERY && type !== SYNCHRONIZE && type !== FLUSH) return;
    const unit = Buffer.concat(this.#unit);
    this.#unit = [];
    await this.#run(unit, type === FLUSH);
  }

  async #run(messages: Buffer, more = false): Promise<void> {
    const { gate, database, idleTransactionMs } = this.#context;
    clearTimeout(this.#timer);
    this.#running = true;
    await gate.enter(this);
    await database.run(messages, (data) => {
      if (this.#socket.writable) this.#socket.write(data);
    });
    this.#running = false;
    if (more || database.isInTransaction()) {
      this.#expireAfter(idleTransactionMs, new FatalError("25P03", "the transaction idled for too long"));
    } else {
      gate.leave(this);
    }
  }

  async #abandonTransaction(): Promise<void> {
    const { gate, database } = this.#context;
    if (!gate.isHeldBy(this)) return;
    await database.run(Buffer.concat([SYNC, ROLLBACK]), () => undefined);
    gate.leave(this);
  }
}
