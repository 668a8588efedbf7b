import { createServer, type Server } from "node:http";
import net from "node:net";
import { constructorsFor, createApp } from "./app.ts";
import { AuditLog } from "./audit/audit-log.ts";
import { createBatchService, startBackgroundWork } from "./batches/service.ts";
import { answerClientErrors, refusingHostless } from "./client-error.ts";
import type { GatewayConfig } from "./config.ts";
import { ConfigError } from "./config-error.ts";
import { ENV, LISTENING_EVENT } from "./contract.ts";
import { Ledger, type LedgerOptions } from "./cost/ledger.ts";
import { spentBy } from "./cost/spent.ts";
import { warnOfUnpriced } from "./cost/unpriced.ts";
import { drain } from "./drain.ts";
import type { Gateway } from "./exchange.ts";
import { ExchangeList } from "./exchange-list.ts";
import { FeedbackTokens } from "./feedback.ts";
import { FeatureFlags } from "./flags/flags.ts";
import { commonHeaders } from "./headers.ts";
import { SharedLimiter } from "./limits/shared-limiter.ts";
import { createLog } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { AdmissionQueue } from "./queue/queue.ts";
import { SettingsFile } from "./settings-file.ts";
import { Database } from "./state/database.ts";
import { DependencyWatch } from "./state/dependency.ts";
import { connectKeyValue } from "./state/key-value.ts";
import { Telemetry } from "./telemetry/telemetry.ts";
import { Directory } from "./tenancy/directory.ts";
import { ModelTable } from "./upstream/model-table.ts";

// How often connections are checked for requests that do not arrive in time.
const STALLED_CHECK_MS = 1_000;
// 100 MiB at 1.5 Mbit/s.
const MAX_UPLOAD_SECONDS = 600;
// Request line included. The router lets 32 kB pass and adds its own; what it forwards must not be refused here.
const MAX_REQUEST_HEADER_BYTES = 33 * 1024;

// Connections that the system takes before the gateway does: in a burst, those beyond would be reset.
const BACKLOG = 4_096;

export interface RunningGateway {
  /** Where it listens, such as http://127.0.0.1:8080. */
  readonly url: string;
  readonly port: number;
  /** Drains and stops: resolves when every request is answered or the drain time is over. */
  close(): Promise<void>;
  /** Tells of an error that nothing caught, before the process ends. */
  crashed(error: unknown): Promise<void>;
  /** Reads the settings file again, as it does by itself when the file changes. */
  reload(): void;
}

/**
 * Starts a gateway; it accepts connections when this resolves.
 * @throws {Error} when the address is taken or not permitted
 */
export async function startGateway(config: GatewayConfig): Promise<RunningGateway> {
  const gateway = await createGateway(config);
  const { database, flags, keyValue, log, metrics, models } = gateway;
  const stores = [keyValue, database].filter((store) => store !== undefined);
  const watch = new DependencyWatch(stores, config.probeIntervalSeconds * 1000, { metrics, log });
  const app = createApp(gateway, watch, openApiDocument());
  const listener = refusingHostless(app, config.release);
  const server = createServer(
    {
      requireHostHeader: false,
      ...constructorsFor(app),
      keepAliveTimeout: config.keepAliveSeconds * 1000,
      maxHeaderSize: MAX_REQUEST_HEADER_BYTES,
      headersTimeout: config.requestTimeoutSeconds * 1000,
      // Only files may take longer than their requests' answers.
      requestTimeout: Math.max(config.requestTimeoutSeconds, gateway.batches ? MAX_UPLOAD_SECONDS : 0) * 1000,
      connectionsCheckingInterval: STALLED_CHECK_MS,
    },
    listener,
  );
  // An expectation that is not known is no reason to refuse (RFC 9110, 10.1.1), least of all without a word.
  server.on("checkExpectation", listener);
  answerClientErrors(server, config.release);
  const settingsFile = new SettingsFile(gateway);
  const background = gateway.batches && startBackgroundWork(gateway, gateway.batches, server);
  const release = async () => {
    settingsFile.close();
    await background?.close();
    gateway.queue.close();
    await Promise.all([gateway.limiter.close(), gateway.ledger?.close()]);
    await gateway.telemetry.close();
    await Promise.all([gateway.directory.close(), gateway.audit?.close()]);
    await Promise.all([models.close(), watch.close(), flags?.close()]);
    log.flush();
  };
  try {
    await listen(server, config);
  } catch (error) {
    await release();
    throw error;
  }
  void models.probe();
  void watch.check();
  warnOfUnpriced(gateway);
  const port = portOf(server);
  log.info({ event: LISTENING_EVENT, host: config.host, port }, "listening");
  log.flush();
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= drain(server, gateway, background).then(release);
    return closing;
  };
  const crashed = (error: unknown) => gateway.telemetry.crashed(error);
  return { url: urlOf(config.host, port), port, close, reload: () => settingsFile.reload(), crashed };
}

async function createGateway(config: GatewayConfig): Promise<Gateway> {
  const log = createLog(config);
  const { models: own, credentials, probeIntervalSeconds } = config;
  const models = new ModelTable(
    { models: own, credentials, probeIntervalMs: probeIntervalSeconds * 1000 },
    config.settings,
  );
  const metrics = createMetrics(config, models);
  const { contentKeys, databaseUrl, flags, feedbackKey, redisUrl, settings } = config;
  const keyValue = redisUrl === undefined ? undefined : connectKeyValue(redisUrl);
  const database = databaseUrl === undefined ? undefined : new Database(databaseUrl, log);
  const gateway: Gateway = {
    config,
    settings,
    headers: commonHeaders(config.release),
    models,
    metrics,
    log,
    telemetry: new Telemetry({
      settings: () => gateway.settings.telemetry,
      release: config.release,
      color: config.color,
      userKey: config.telemetryKey,
      sentryDsn: config.sentryDsn,
      metrics,
      log,
    }),
    arriving: { bytes: 0 },
    queue: new AdmissionQueue(() => gateway.settings.queue, metrics),
    limiter: new SharedLimiter({
      redisUrl,
      settings: () => gateway.settings.limits,
      metrics,
      log,
      spent: database && ((tenant) => spentBy(database, tenant)),
    }),
    directory: new Directory({ keys: config.keys, settings, database, keyValue, metrics }),
    flags: flags === undefined ? undefined : await FeatureFlags.open(flags, { metrics, log }),
    feedback: feedbackKey === undefined ? undefined : new FeedbackTokens(feedbackKey, config.release),
    keyValue,
    database,
    batches:
      databaseUrl && contentKeys && database
        ? createBatchService({ databaseUrl, contentKeys, state: database })
        : undefined,
    ledger:
      database &&
      openLedger({
        database,
        log,
        folder: config.journalDir,
        keepDays: () => gateway.settings.cost.keepDays,
      }),
    exchanges: new ExchangeList(),
    audit: database && new AuditLog(database, { metrics, log }),
    draining: false,
  };
  metrics.ledgerBacklog.readFrom((set) => set({}, gateway.ledger?.backlog ?? 0));
  await gateway.telemetry.tracing.ready();
  return gateway;
}

function openLedger(options: LedgerOptions): Ledger {
  try {
    return new Ledger(options);
  } catch {
    const problem = "cannot be written";
    throw new ConfigError([
      { field: ENV.journalDir, problem, remedy: "give a folder that the gateway may write" },
    ]);
  }
}

async function listen(server: Server, { host, port }: GatewayConfig): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ port, host, backlog: BACKLOG }, resolve);
  await promise;
  server.off("error", reject);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function urlOf(host: string, port: number): string {
  return `http://${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
}
