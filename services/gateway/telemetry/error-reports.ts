import { randomUUID } from "node:crypto";
import { describeError, type Frame } from "./error-description.ts";

const TIMEOUT_MS = 5_000;
// What fails, fails for each request: more than a few reports a minute tell nothing new.
const PER_MINUTE = 30;
const MINUTE_MS = 60_000;
const MAX_UNDER_WAY = 4;

/** Where reports go, as a DSN says it. */
interface Receiver {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ErrorReportsOptions {
  /** As Sentry names a project: http(s)://key@host/path/id; secret. */
  readonly dsn: string;
  readonly release: string;
  readonly color: string;
  /** Is told of each report that was given up. */
  readonly dropped: () => void;
}

/** What is told of an error beside itself; nothing personal. */
export type ErrorTags = Readonly<Record<string, string>>;

/** Reports unexpected errors to a service that speaks Sentry's protocol. Nothing waits for it. */
export class ErrorReports {
  readonly #options: ErrorReportsOptions;
  readonly #receiver: Receiver;
  readonly #underWay = new Set<Promise<void>>();
  #minuteBegan = Number.NEGATIVE_INFINITY;
  #thisMinute = 0;

  constructor(options: ErrorReportsOptions) {
    this.#options = options;
    this.#receiver = receiverOf(options.dsn);
  }

  /** Never throws, and gives nothing to wait for. */
  report(error: unknown, tags: ErrorTags = {}, level: "error" | "fatal" = "error"): void {
    if (!this.#isAllowed()) {
      this.#options.dropped();
      return;
    }
    const sending = this.#send(this.#envelopeOf(error, tags, level)).then(() => {
      this.#underWay.delete(sending);
    });
    this.#underWay.add(sending);
  }

  /** Waits for the reports that are under way, for a second at most. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const patience = setTimeout(resolve, 1_000);
    await Promise.race([promise, Promise.all(this.#underWay)]);
    clearTimeout(patience);
  }

  #isAllowed(): boolean {
    const now = performance.now();
    if (now - this.#minuteBegan >= MINUTE_MS) {
      this.#minuteBegan = now;
      this.#thisMinute = 0;
    }
    if (this.#thisMinute >= PER_MINUTE || this.#underWay.size >= MAX_UNDER_WAY) return false;
    this.#thisMinute += 1;
    return true;
  }

  // An envelope: lines of JSON, the first about the envelope, then a head and a body for each item.
  #envelopeOf(error: unknown, tags: ErrorTags, level: string): string {
    const { release, color } = this.#options;
    const { type, code, frames } = describeError(error);
    const eventId = randomUUID().replaceAll("-", "");
    const now = new Date().toISOString();
    const event = {
      event_id: eventId,
      timestamp: now,
      platform: "node",
      level,
      logger: "gateway",
      release,
      environment: color,
      tags: { ...tags, ...(code === undefined ? {} : { code }) },
      exception: { values: [{ type, value: code ?? type, stacktrace: { frames: toStack(frames) } }] },
    };
    const lines = [
      { event_id: eventId, sent_at: now },
      { type: "event", content_type: "application/json" },
      event,
    ];
    return lines.map((line) => JSON.stringify(line)).join("\n");
  }

  async #send(body: string): Promise<void> {
    const { url, headers } = this.#receiver;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "error" });
      await response.body?.cancel();
      if (!response.ok) this.#options.dropped();
    } catch {
      this.#options.dropped();
    }
  }
}

function receiverOf(dsn: string): Receiver {
  const url = new URL(dsn);
  const path = url.pathname.split("/");
  const project = path.pop();
  const key = url.username;
  return {
    url: `${url.origin}${path.join("/")}/api/${project}/envelope/`,
    headers: {
      "content-type": "application/x-sentry-envelope",
      "x-sentry-auth": `Sentry sentry_version=7, sentry_client=llm-platform-gateway/1, sentry_key=${key}`,
    },
  };
}

// Sentry wants the innermost frame last.
function toStack(frames: readonly Frame[]) {
  return frames.toReversed().map(({ function: name, file, line, column }) => ({
    ...(name === undefined ? {} : { function: name }),
    filename: file,
    lineno: line,
    colno: column,
    in_app: !file.includes("node_modules") && !file.startsWith("node:"),
  }));
}
