import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, globSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import { KEY_VALUE_ENV } from "../../services/key-value/contract.ts";
import { POSTGRES_DATABASE, POSTGRES_ENV, POSTGRES_USER } from "../../services/postgres/contract.ts";
import { startService } from "./service-process.ts";

const PASSWORD = "a-password-for-tests";
const LIMIT_MS = 30_000;

/** A data store in a process of its own. */
export interface StoreProcess {
  readonly url: string;
  /** Makes it accept connections and never answer. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/** `real` is what is installed on this machine, `embedded` the stand-in. */
export type StoreKind = "real" | "embedded";

const realRedis = ["valkey-server", "redis-server"].find(
  (name) => spawnSync(name, ["--version"]).status === 0,
);
const realPostgres = ["/usr/lib/postgresql/*/bin/postgres", "/usr/local/bin/postgres", "/usr/bin/postgres"]
  .flatMap((pattern) => globSync(pattern))
  .find((file) => spawnSync(join(dirname(file), "initdb"), ["--version"]).status === 0);

/** The kinds of Redis that this machine can run. */
export const REDIS_KINDS: readonly StoreKind[] = realRedis ? ["real", "embedded"] : ["embedded"];
/** The kinds of PostgreSQL that this machine can run. */
export const POSTGRES_KINDS: readonly StoreKind[] = realPostgres ? ["real", "embedded"] : ["embedded"];

/** Starts an empty Redis. */
export async function startRedis(kind: StoreKind): Promise<StoreProcess> {
  return kind === "real" ? realRedisProcess() : embedded("key-value");
}

/** Starts an empty PostgreSQL. */
export async function startPostgres(kind: StoreKind): Promise<StoreProcess> {
  return kind === "real" ? realPostgresProcess() : embedded("postgres");
}

async function realRedisProcess(): Promise<StoreProcess> {
  const port = await freePort();
  const child = spawn(realRedis ?? "", ["-"], { stdio: ["pipe", "ignore", "inherit"] });
  child.stdin?.end(["bind 127.0.0.1", `port ${port}`, 'save ""', `requirepass ${PASSWORD}`].join("\n"));
  const url = `redis://:${PASSWORD}@127.0.0.1:${port}`;
  await answers(async () => {
    const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
    client.on("error", () => undefined);
    try {
      await client.connect();
      await client.ping();
    } finally {
      client.disconnect();
    }
  });
  return controls(child, url, "SIGTERM", () => undefined);
}

async function realPostgresProcess(): Promise<StoreProcess> {
  const bin = dirname(realPostgres ?? "");
  const folder = mkdtempSync(join(tmpdir(), "postgres-real-"));
  // The server refuses to run as root.
  const user = process.getuid?.() === 0 ? idOf("postgres") : undefined;
  if (user) chownSync(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const options = ["-D", data, "-U", POSTGRES_USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale"];
  const made = spawnSync(join(bin, "initdb"), options, { ...user, cwd: folder });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const settings = ["listen_addresses=127.0.0.1", `unix_socket_directories=${folder}`, "fsync=off"];
  const args = ["-D", data, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])];
  const child = spawn(join(bin, "postgres"), args, { ...user, cwd: folder, stdio: "ignore" });
  const url = `postgresql://${POSTGRES_USER}@127.0.0.1:${port}/${POSTGRES_DATABASE}`;
  await answers(async () => {
    const client = new pg.Client(url);
    client.on("error", () => undefined);
    await client.connect();
    await client.end();
  });
  return controls(child, url, "SIGQUIT", () => rmSync(folder, { recursive: true, force: true }));
}

function idOf(name: string): { uid: number; gid: number } {
  const ask = (flag: string) => Number(execFileSync("id", [flag, name], { encoding: "utf8" }));
  return { uid: ask("-u"), gid: ask("-g") };
}

function controls(child: ChildProcess, url: string, end: NodeJS.Signals, cleanUp: () => void): StoreProcess {
  const exited = once(child, "exit");
  // PostgreSQL answers from a process for each connection: all of them must stand still.
  const signalAll = (signal: NodeJS.Signals) => {
    for (const pid of [child.pid, ...childrenOf(child.pid)]) if (pid) trySignal(pid, signal);
  };
  return {
    url,
    pause: () => signalAll("SIGSTOP"),
    resume: () => signalAll("SIGCONT"),
    async stop() {
      signalAll("SIGCONT");
      child.kill(end);
      await exited;
      cleanUp();
    },
  };
}

function trySignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

function childrenOf(pid: number | undefined): number[] {
  const { stdout } = spawnSync("ps", ["-o", "pid=", "--ppid", String(pid)], { encoding: "utf8" });
  return stdout.trim().split(/\s+/).filter(Boolean).map(Number);
}

async function embedded(service: "key-value" | "postgres"): Promise<StoreProcess> {
  const folder = mkdtempSync(join(tmpdir(), `${service}-test-`));
  const env: Record<string, string> =
    service === "postgres"
      ? {
          [POSTGRES_ENV.port]: "0",
          [POSTGRES_ENV.password]: PASSWORD,
          [POSTGRES_ENV.dataDir]: join(folder, "data"),
        }
      : {
          [KEY_VALUE_ENV.port]: "0",
          [KEY_VALUE_ENV.password]: PASSWORD,
          [KEY_VALUE_ENV.dataFile]: join(folder, "data.json"),
        };
  const server = await startService(service, env);
  const address = `${PASSWORD}@127.0.0.1:${server.ready.port}`;
  return {
    url:
      service === "postgres"
        ? `postgresql://${POSTGRES_USER}:${address}/${POSTGRES_DATABASE}`
        : `redis://:${address}`,
    pause: () => server.kill("SIGSTOP"),
    resume: () => server.kill("SIGCONT"),
    async stop() {
      server.kill("SIGKILL");
      await server.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = Object(server.address());
  server.close();
  await once(server, "close");
  return port;
}

async function answers(attempt: () => Promise<void>): Promise<void> {
  const limit = Date.now() + LIMIT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > limit) throw error;
      await wait(20);
    }
  }
}
