import type { Exchange } from "../exchange.ts";
import type { LineLog, Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { namedUser } from "../steps/flagged.ts";
import { ErrorReports } from "./error-reports.ts";
import type { Outcome } from "./outcome.ts";
import { RequestLog } from "./request-log.ts";
import { countRequest } from "./request-metrics.ts";
import type { TelemetrySettings } from "./settings.ts";
import { Tracing } from "./tracing.ts";
import { type UserHash, userHash } from "./user-hash.ts";

export interface TelemetryOptions {
  /** What holds now; asked for each request. */
  readonly settings: () => TelemetrySettings;
  readonly release: string;
  readonly color: string;
  /** For hashes of users; secret. Undefined where users are never told of. */
  readonly userKey: string | undefined;
  /** Where unexpected errors are reported; secret. Undefined where they are only logged. */
  readonly sentryDsn: string | undefined;
  readonly metrics: Metrics;
  readonly log: Log & LineLog;
}

/** Tells of requests: in metrics, in the log and, for some of them, in traces. */
export class Telemetry {
  readonly tracing: Tracing;
  readonly #options: TelemetryOptions;
  readonly #requests: RequestLog;
  readonly #hash: UserHash | undefined;
  readonly #reports: ErrorReports | undefined;

  constructor(options: TelemetryOptions) {
    const { settings, release, color, userKey, sentryDsn: dsn, metrics, log } = options;
    this.#options = options;
    this.tracing = new Tracing({ settings, resource: { release, color }, metrics, log });
    this.#requests = new RequestLog(log, { service: "gateway", color, release });
    this.#hash = userKey === undefined ? undefined : userHash(userKey);
    const dropped = () => metrics.telemetryDropped.inc({ signal: "errors" });
    this.#reports = dsn === undefined ? undefined : new ErrorReports({ dsn, release, color, dropped });
  }

  /** Tells of a request that is over, once. */
  record(exchange: Exchange, outcome: Outcome): void {
    const { metrics, settings } = this.#options;
    const { status, model, failed } = outcome;
    const telemetry = settings();
    countRequest(exchange, metrics, outcome);
    const user = telemetry.users ? this.#userOf(exchange) : undefined;
    const fine = status < 400 && !failed;
    const logged = !fine || telemetry.logRatio === 1 || Math.random() < telemetry.logRatio;
    if (logged && this.#requests.enabled) this.#requests.write(exchange, { outcome, user });
    const content = telemetry.captureContent && exchange.trace ? contentOf(exchange) : undefined;
    exchange.trace?.finish(exchange, { status, model, failed: failed !== undefined, user, content });
  }

  /** Tells of an error that nobody expected: a mistake of ours. */
  unexpected(error: unknown, { id, endpoint }: Exchange): void {
    this.#options.log.error({ event: "unexpected", err: error, requestId: id }, "a step failed");
    this.#reports?.report(error, { request_id: id, endpoint });
  }

  /** Tells of an error that ends the process, within a second. */
  async crashed(error: unknown): Promise<void> {
    this.#options.log.fatal({ event: "crashed", err: error }, "crashed");
    this.#reports?.report(error, {}, "fatal");
    const written = Promise.withResolvers<void>();
    this.#options.log.flush(() => written.resolve());
    await Promise.all([written.promise, this.#reports?.close()]);
  }

  async close(): Promise<void> {
    await Promise.all([this.tracing.close(), this.#reports?.close()]);
  }

  #userOf(exchange: Exchange): string | undefined {
    const user = namedUser(exchange);
    const { principal } = exchange;
    return principal && user !== undefined ? this.#hash?.(principal.tenant.id, user) : undefined;
  }
}

function contentOf({ answer, body }: Exchange): { input: string; output: string | undefined } {
  const output = answer?.kind === "json" ? answer.body.toString() : undefined;
  return { input: body.toString(), output };
}
