import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { ConfigError } from "../shared/environment.ts";
import type { SimulatorConfig } from "./config.ts";
import { ApiError, simulatedFault, unexpected } from "./errors.ts";
import { FAULT_HEADER, type Fault, faultSampler, parseFault } from "./faults.ts";
import { type Exchange, readJson, send, sendError, sendJson } from "./http.ts";
import { Metrics } from "./metrics.ts";
import { ModelRegistry } from "./models.ts";
import { VERSION } from "./plain-endpoints.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { type Route, routeTable } from "./routes.ts";
import { Scheduler } from "./scheduler.ts";
import type { Simulator } from "./simulator.ts";

// vLLM asks for its key below these paths only.
const GUARDED = /^\/(v1|v2|inference)(\/|$)/;
const CORS_VARY =
  "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network";
const CORS_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY";
// As recorded: a server whose engine died stops listening at once and is gone a second later.
const DEATH_NOTICE_MS = 300;

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function buildSimulator(config: SimulatorConfig): Simulator {
  const names = config.servedModelNames;
  const models = new ModelRegistry({ root: config.model, names, maxModelLen: config.maxModelLen });
  const metrics = new Metrics({
    modelName: models.defaultName,
    maxModelLen: config.maxModelLen,
    maxLoras: config.enableLora ? config.maxLoras : undefined,
  });
  const scheduler = new Scheduler(
    {
      slots: config.maxNumSeqs,
      timeToFirstToken: config.timeToFirstTokenMs,
      timePerOutputToken: config.timePerOutputTokenMs,
      kvCacheBlocks: config.kvCacheBlocks,
      blockSize: config.blockSize,
    },
    metrics,
  );
  metrics.observe(() => scheduler.state());
  const prefixCache = new PrefixCache(config.kvCacheBlocks, config.blockSize);
  const settings = createHash("sha256").update(JSON.stringify([names, config.seed, config.runner]));
  const fingerprint = `vllm-${VERSION}-${settings.digest("hex").slice(0, 8)}`;
  return { config, models, metrics, scheduler, prefixCache, fingerprint, phase: "serving" };
}

/** The HTTP side: who may come in, where a request goes and what goes wrong with it. */
class ModelServer {
  readonly #simulator: Simulator;
  readonly #routes;
  readonly #keys: readonly Buffer[];
  readonly #sampleFault: () => Fault | undefined;
  readonly #onEngineDeath: () => void;
  #load = 0;

  constructor(simulator: Simulator, onEngineDeath: () => void) {
    const { config } = simulator;
    this.#simulator = simulator;
    this.#routes = routeTable(simulator, (_, exchange) => {
      sendJson(exchange, 200, { server_load: config.enableServerLoadTracking ? this.#load : 0 });
    });
    this.#keys = config.apiKeys.map((key) => digest(`Bearer ${key}`));
    this.#sampleFault = faultSampler(config.fault, config.faultRate, config.seed);
    this.#onEngineDeath = onEngineDeath;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const begun = performance.now();
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const routes = this.#routes.get(path);
    response.on("close", () => {
      const seconds = (performance.now() - begun) / 1000;
      const handler = routes === undefined ? "none" : path;
      this.#simulator.metrics.http({
        handler,
        method: request.method ?? "",
        status: response.statusCode,
        seconds,
      });
    });
    response.setHeader("server", "uvicorn");
    if (this.#simulator.config.enableRequestIdHeaders) {
      response.setHeader("x-request-id", request.headers["x-request-id"] ?? randomUUID().replaceAll("-", ""));
    }
    const route = routes?.find(({ method }) => method === request.method);
    const exchange = { request, response, fault: route?.inference ? this.#faultOf(request) : undefined };
    try {
      await this.#answer(exchange, path, route);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else sendError(exchange, error instanceof ApiError ? error : unexpected());
    }
  }

  #faultOf(request: IncomingMessage): Fault | undefined {
    const header = request.headers[FAULT_HEADER];
    if (!this.#simulator.config.allowRequestFaults || typeof header !== "string") return this.#sampleFault();
    // A misspelt fault must not pass for a healthy answer.
    return parseFault(header) ?? { status: 400 };
  }

  async #answer(exchange: Exchange, path: string, route: Route | undefined): Promise<void> {
    const { request, response } = exchange;
    if (!this.#isAllowed(request, path)) {
      sendJson(exchange, 401, { error: "Unauthorized" });
      return;
    }
    if (isPreflight(request)) {
      response.setHeader("vary", CORS_VARY);
      response.setHeader("access-control-allow-methods", CORS_METHODS);
      response.setHeader("access-control-max-age", "600");
      send(exchange, 400, { type: "text/plain; charset=utf-8", body: "Disallowed CORS origin" });
      return;
    }
    response.setHeader("vary", "Origin");
    if (route) await this.#run(exchange, route);
    else this.#refuse(exchange, path);
  }

  #isAllowed(request: IncomingMessage, path: string): boolean {
    if (this.#keys.length === 0 || request.method === "OPTIONS" || !GUARDED.test(path)) return true;
    const given = digest(request.headers.authorization ?? "");
    return this.#keys.some((key) => timingSafeEqual(key, given));
  }

  #refuse(exchange: Exchange, path: string) {
    const { request, response } = exchange;
    const routes = this.#routes.get(path);
    if (routes) {
      response.setHeader("allow", routes.map(({ method }) => method).join(", "));
      sendJson(exchange, 405, { detail: "Method Not Allowed" });
      return;
    }
    if (path.endsWith("/") && this.#routes.has(path.slice(0, -1))) {
      const query = (request.url ?? "").slice(path.length);
      response.setHeader(
        "location",
        `http://${request.headers.host ?? "localhost"}${path.slice(0, -1)}${query}`,
      );
      send(exchange, 307, { body: "" });
      return;
    }
    sendJson(exchange, 404, { detail: "Not Found" });
  }

  async #run(exchange: Exchange, route: Route): Promise<void> {
    if (route.inference) {
      this.#load += 1;
      exchange.response.on("close", () => {
        this.#load -= 1;
      });
      await this.#suffer(exchange.fault);
    }
    const body = route.json ? await readJson(exchange.request) : undefined;
    await route.handle(this.#simulator, exchange, body);
  }

  async #suffer(fault: Fault | undefined): Promise<void> {
    if (fault?.delay !== undefined) await delay(fault.delay);
    if (fault?.die === true) this.#onEngineDeath();
    if (fault?.status !== undefined) throw simulatedFault(fault.status);
  }
}

function isPreflight(request: IncomingMessage): boolean {
  return (
    request.method === "OPTIONS" &&
    request.headers.origin !== undefined &&
    request.headers["access-control-request-method"] !== undefined
  );
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      const address = server.address() as AddressInfo;
      resolve(
        `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`,
      );
    });
  });
}

export interface RunningSimulator {
  readonly url: string;
  /** Resolves when the server is gone, by `close`, by `shutDown` or because its engine died. */
  readonly closed: Promise<void>;
  /** What SIGTERM does: lets open answers finish for the shutdown timeout, or leaves them silent without one. */
  shutDown(): Promise<void>;
  /** Ends everything at once. */
  close(): Promise<void>;
}

/** Starts the simulator; rejects where the address is taken or an adapter of the settings is missing. */
export async function startModelSimulator(config: SimulatorConfig): Promise<RunningSimulator> {
  const simulator = buildSimulator(config);
  for (const adapter of config.loraModules) loadConfigured(simulator, adapter);
  if (config.startDelayS > 0) await delay(config.startDelayS * 1000);
  let deathNotice: NodeJS.Timeout | undefined;
  const die = () => {
    if (simulator.phase === "dead") return;
    simulator.phase = "dead";
    simulator.scheduler.fail();
    deathNotice = setTimeout(() => endServer(server), DEATH_NOTICE_MS);
  };
  const handler = new ModelServer(simulator, die);
  const server = createServer((request, response) => void handler.handle(request, response));
  const closed = new Promise<void>((resolve) => {
    server.once("close", () => resolve());
  });
  const url = await listen(server, config);
  const close = () => {
    clearTimeout(deathNotice);
    endServer(server);
    return closed;
  };
  return { url, closed, close, shutDown: () => shutDown(simulator, { server, closed }) };
}

function loadConfigured(simulator: Simulator, adapter: { name: string; path: string }) {
  try {
    simulator.models.load(adapter);
  } catch (error) {
    throw new ConfigError(`--lora-modules ${error instanceof Error ? error.message : String(error)}`);
  }
}

function endServer(server: Server) {
  server.close();
  server.closeAllConnections();
}

async function shutDown(simulator: Simulator, { server, closed }: { server: Server; closed: Promise<void> }) {
  const { shutdownTimeoutS } = simulator.config;
  if (simulator.phase === "serving") simulator.phase = "stopping";
  if (shutdownTimeoutS === 0) {
    // Without a timeout vLLM drops its work, closes its port and leaves open streams without another byte.
    simulator.scheduler.halt();
    server.close();
    server.closeIdleConnections();
    return closed;
  }
  const expired = new AbortController();
  const limit = delay(shutdownTimeoutS * 1000, undefined, { signal: expired.signal }).catch(() => undefined);
  await Promise.race([simulator.scheduler.idle(), limit]);
  expired.abort();
  server.close();
  server.closeIdleConnections();
  simulator.scheduler.fail();
  return closed;
}
