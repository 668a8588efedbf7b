import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { onTestFinished } from "vitest";
import { startKeyValue } from "../../../services/key-value/key-value.ts";

export const PASSWORD = "key-value-password-for-tests";

export interface Server {
  readonly port: number;
  stop(): Promise<void>;
}

const REAL_SERVERS = ["valkey-server", "redis-server"];

/** Name of the real server on PATH, if any. */
export const realServer = REAL_SERVERS.find((name) => spawnSync(name, ["--version"]).status === 0);

export function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), "key-value-test-"));
}

export function temporaryFolder(): string {
  const folder = makeFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function fail(error: unknown): void {
  throw error;
}

export async function startEmbedded(maxMemoryBytes = 64 * 1024 * 1024): Promise<Server> {
  const folder = makeFolder();
  const dataFile = join(folder, "data.json");
  const server = await startKeyValue(
    { host: "127.0.0.1", port: 0, password: PASSWORD, dataFile, snapshotSeconds: 1, maxMemoryBytes },
    { onSnapshotFailure: fail, onSessionFailure: fail },
  );
  const stop = async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { port: server.port, stop };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = Object(server.address());
  server.close();
  await once(server, "close");
  return port;
}

export async function startReal(executable: string): Promise<Server> {
  const port = await freePort();
  const child = spawn(executable, ["-"], { stdio: ["pipe", "pipe", "inherit"] });
  const settings = ["bind 127.0.0.1", `port ${port}`, "databases 1", 'save ""', `requirepass ${PASSWORD}`];
  child.stdin.end(settings.join("\n"));
  for await (const data of child.stdout) if (String(data).includes("Ready to accept")) break;
  const stop = async () => {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  };
  return { port, stop };
}

export function connect(port: number, password = PASSWORD): Redis {
  const client = new Redis({ host: "127.0.0.1", port, password, retryStrategy: () => null });
  client.on("error", () => undefined);
  onTestFinished(() => client.disconnect());
  return client;
}

/** The reply, or the error's text, of any command. */
export async function reply(client: Redis, ...words: (string | Buffer)[]): Promise<unknown> {
  const [name = "", ...rest] = words;
  try {
    return await client.callBuffer(String(name), ...rest);
  } catch (error) {
    return error instanceof Error ? `error: ${error.message}` : error;
  }
}
