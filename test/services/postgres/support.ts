import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type ClientConfig, Pool } from "pg";
import { onTestFinished } from "vitest";
import type { PostgresConfig } from "../../../services/postgres/config.ts";
import { POSTGRES_DATABASE, POSTGRES_ENV, POSTGRES_USER } from "../../../services/postgres/contract.ts";
import { type ServiceProcess, startService } from "../service-process.ts";

export const PASSWORD = "postgres-password-for-tests";

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "postgres-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function configuration(dataDir: string): PostgresConfig {
  return {
    host: "127.0.0.1",
    port: 0,
    password: PASSWORD,
    dataDir,
    maxConnections: 20,
    idleTransactionSeconds: 2,
  };
}

export function environment(dataDir: string): Record<string, string> {
  return {
    [POSTGRES_ENV.port]: "0",
    [POSTGRES_ENV.password]: PASSWORD,
    [POSTGRES_ENV.dataDir]: dataDir,
  };
}

export async function startProcess(env: Record<string, string>): Promise<ServiceProcess & { port: number }> {
  const service = await startService("postgres", env);
  onTestFinished(async () => {
    service.kill("SIGKILL");
    await service.exited;
  });
  return { ...service, port: Number(service.ready.port) };
}

function settings(port: number): ClientConfig {
  return { host: "127.0.0.1", port, user: POSTGRES_USER, database: POSTGRES_DATABASE, password: PASSWORD };
}

export function openPool(port: number, max = 5): Pool {
  const pool = new Pool({ ...settings(port), max });
  // Connections that a test's server cuts while they idle.
  pool.on("error", () => undefined);
  onTestFinished(() => pool.end());
  return pool;
}

/** A connected client whose later loss of connection fails nothing by itself. */
export async function connect(port: number, overrides: ClientConfig = {}): Promise<Client> {
  const client = new Client({ ...settings(port), ...overrides });
  client.on("error", () => undefined);
  onTestFinished(async () => void (await client.end().catch(() => undefined)));
  await client.connect();
  return client;
}
