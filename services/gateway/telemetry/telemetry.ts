import { USER_ID_HEADER } from "../contract.ts";
import type { Exchange } from "../exchange.ts";
import type { LineLog, Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Outcome } from "./outcome.ts";
import { RequestLog } from "./request-log.ts";
import { countRequest } from "./request-metrics.ts";
import type { TelemetrySettings } from "./settings.ts";
import { Tracing } from "./tracing.ts";
import { type UserHash, userHash } from "./user-hash.ts";

const MAX_USER_LENGTH = 256;

export interface TelemetryOptions {
  /** What holds now; asked for each request. */
  readonly settings: () => TelemetrySettings;
  readonly release: string;
  readonly color: string;
  /** For hashes of users; secret. Undefined where users are never told of. */
  readonly userKey: string | undefined;
  readonly metrics: Metrics;
  readonly log: Log & LineLog;
}

/** Tells of requests: in metrics, in the log and, for some of them, in traces. */
export class Telemetry {
  readonly tracing: Tracing;
  readonly #options: TelemetryOptions;
  readonly #requests: RequestLog;
  readonly #hash: UserHash | undefined;

  constructor(options: TelemetryOptions) {
    const { settings, release, color, userKey, metrics, log } = options;
    this.#options = options;
    this.tracing = new Tracing({ settings, resource: { release, color }, metrics, log });
    this.#requests = new RequestLog(log, { service: "gateway", color, release });
    this.#hash = userKey === undefined ? undefined : userHash(userKey);
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

  async close(): Promise<void> {
    await this.tracing.close();
  }

  #userOf({ principal, request }: Exchange): string | undefined {
    const user = request.headers[USER_ID_HEADER];
    if (!principal || typeof user !== "string" || user === "" || user.length > MAX_USER_LENGTH)
      return undefined;
    return this.#hash?.(principal.tenant.id, user);
  }
}

function contentOf({ answer, body }: Exchange): { input: string; output: string | undefined } {
  const output = answer?.kind === "json" ? answer.body.toString() : undefined;
  return { input: body.toString(), output };
}
