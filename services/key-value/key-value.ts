import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import type { KeyValueConfig } from "./config.ts";
import type { ServerContext } from "./connection.ts";
import type { Keyspace } from "./keyspace.ts";
import { Interpreter } from "./lua/interpreter.ts";
import { arityOf, Session } from "./session.ts";
import { loadSnapshot, saveSnapshot } from "./snapshot.ts";

const MAX_CONNECTIONS = 10_000;

/** What happens while the server runs that an operator should know. */
export interface KeyValueEvents {
  /** The data file could not be written; the server goes on and tries again. */
  onSnapshotFailure(error: unknown): void;
  /** A connection ended by an error of this server. */
  onSessionFailure(error: unknown): void;
}

export interface RunningKeyValue {
  readonly host: string;
  readonly port: number;
  /** Ends every connection and writes the data file. */
  close(): Promise<void>;
}

function isFromSocket(error: unknown): boolean {
  return error instanceof Error && "code" in error;
}

function acceptSessions(context: Omit<ServerContext, "connections" | "arityOf">, events: KeyValueEvents) {
  const sockets = new Set<Socket>();
  const server = { ...context, connections: () => sockets.size, arityOf };
  let lastId = 0;
  const listener = createServer({ noDelay: true }, async (socket) => {
    sockets.add(socket);
    lastId += 1;
    const session = new Session(server, lastId);
    try {
      await pipeline(socket, (source: AsyncIterable<Buffer>) => session.serve(source), socket);
    } catch (error) {
      if (!isFromSocket(error)) events.onSessionFailure(error);
    } finally {
      sockets.delete(socket);
    }
  });
  listener.maxConnections = MAX_CONNECTIONS;
  return { listener, sockets };
}

async function listen(server: Server, config: KeyValueConfig): Promise<number> {
  server.listen(config.port, config.host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return port;
}

/** Writes the data file when something has changed, once at a time. */
function keepSnapshots(config: KeyValueConfig, keyspace: Keyspace, events: KeyValueEvents) {
  let saved = keyspace.changes;
  let writing = Promise.resolve();
  const save = async () => {
    if (keyspace.changes === saved) return;
    const { changes } = keyspace;
    await saveSnapshot(config.dataFile, keyspace);
    saved = changes;
  };
  const timer = setInterval(() => {
    keyspace.sweep();
    writing = writing.then(save).catch(events.onSnapshotFailure);
  }, config.snapshotSeconds * 1000);
  return {
    stop: async () => {
      clearInterval(timer);
      await writing;
      await save();
    },
  };
}

/**
 * Starts a server that speaks Redis' protocol for the commands the platform uses: strings, hashes, sorted sets,
 * expiry, transactions and scripts in Lua. Any other command is answered as Redis answers an unknown one. Data are in memory and in a file that
 * is written at an interval, so a killed process loses the last seconds.
 */
export async function startKeyValue(
  config: KeyValueConfig,
  events: KeyValueEvents,
): Promise<RunningKeyValue> {
  const keyspace = await loadSnapshot(config.dataFile);
  const interpreter = await Interpreter.open();
  const { password, maxMemoryBytes } = config;
  const { listener, sockets } = acceptSessions({ keyspace, password, maxMemoryBytes, interpreter }, events);
  const port = await listen(listener, config);
  const snapshots = keepSnapshots(config, keyspace, events);
  return {
    host: config.host,
    port,
    close: async () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
      await snapshots.stop();
    },
  };
}
