import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import type { PostgresConfig } from "./config.ts";
import { openDataDir } from "./data-dir.ts";
import { Gate } from "./gate.ts";
import { type Database, Session, type SessionContext } from "./session.ts";

// Connections that have not authenticated yet, on top of those that have.
const MAX_PENDING_CONNECTIONS = 64;

export interface RunningPostgres {
  readonly host: string;
  readonly port: number;
  /** Lets running statements finish, rolls open transactions back, and closes the database. */
  close(): Promise<void>;
}

async function openDatabase(dataDir: string): Promise<PGlite> {
  const db = await PGlite.create({ dataDir, extensions: { vector } });
  await db.exec("CREATE EXTENSION IF NOT EXISTS vector");
  return db;
}

function asDatabase(db: PGlite, onFatal: (error: unknown) => void): Database {
  return {
    isInTransaction: () => db.isInTransaction(),
    run: async (messages, onData) => {
      try {
        // A copy, since PGlite uses the memory again.
        const onRawData = (data: Uint8Array) => onData(Buffer.from(data));
        await db.runExclusive(() => db.execProtocolRawStream(messages, { onRawData }));
      } catch (error) {
        // Errors in SQL are answers; this is PGlite itself, which cannot be used again.
        onFatal(error);
        throw error;
      }
    },
  };
}

function serveSessions(
  context: Omit<SessionContext, "admit">,
  config: PostgresConfig,
  onFatal: (error: unknown) => void,
) {
  const sessions = new Map<Session, Promise<void>>();
  let admitted = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    let counted = false;
    const admit = () => {
      if (admitted >= config.maxConnections) return false;
      admitted += 1;
      counted = true;
      return true;
    };
    const session = new Session(socket, { ...context, admit });
    const served = session
      .serve()
      .catch(onFatal)
      .finally(() => {
        sessions.delete(session);
        if (counted) admitted -= 1;
      });
    sessions.set(session, served);
  });
  server.maxConnections = config.maxConnections + MAX_PENDING_CONNECTIONS;
  return { server, sessions };
}

async function listen(server: Server, config: PostgresConfig): Promise<number> {
  server.listen(config.port, config.host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return port;
}

/**
 * Starts PostgreSQL with pgvector in this process, behind PostgreSQL's wire protocol. All connections share one
 * database session: what a client changes with SET, LISTEN, temporary tables or named statements, others see, and
 * while one has a transaction open the others wait. PGlite's own socket server runs single messages instead of whole
 * requests, so that under load a large one is answered with another client's statement. `onFatal` is told when the database itself breaks.
 * Throws DataDirInUseError when another process has the data open.
 */
export async function startPostgres(
  config: PostgresConfig,
  onFatal: (error: unknown) => void,
): Promise<RunningPostgres> {
  const dataDir = openDataDir(config.dataDir);
  const db = await openDatabase(dataDir.database);
  const context = {
    database: asDatabase(db, onFatal),
    gate: new Gate(),
    password: config.password,
    idleTransactionMs: config.idleTransactionSeconds * 1000,
  };
  const { server, sessions } = serveSessions(context, config, onFatal);
  const closeDatabase = async () => {
    await db.close();
    dataDir.release();
  };
  const port = await listen(server, config).catch(async (error) => {
    await closeDatabase();
    throw error;
  });
  return {
    host: config.host,
    port,
    close: async () => {
      server.close();
      for (const session of sessions.keys()) session.stop();
      await Promise.all(sessions.values());
      await closeDatabase();
    },
  };
}
