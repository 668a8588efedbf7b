import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher } from "undici";
import { type AnswerCheck, JsonCheck, StreamCheck } from "./answer-check.ts";
import type { LoadRequest } from "./mix.ts";
import { type FailureKind, NO_RELEASE, type Statistics } from "./stats.ts";

const STOOD_STILL = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"]);

export interface ExchangeContext {
  readonly statistics: Statistics;
  /** When the request was due, on the clock of `performance.now()`. */
  readonly dueAt: number;
  /** Called once, when it is counted as succeeded or failed. */
  readonly settled: (succeeded: boolean) => void;
  /** Whether it counts for the latency: a stream that is held tells nothing by its length. */
  readonly timed: boolean;
}

/** One request and its answer, from which undici reports. It is counted once, whatever happens. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #context: ExchangeContext;
  readonly #check: AnswerCheck;
  readonly #streamed: boolean;
  readonly #sentAt = Date.now();
  #release = NO_RELEASE;
  #status: number | undefined;
  #begun = false;
  #settled = false;

  constructor({ streamed }: LoadRequest, context: ExchangeContext) {
    this.#context = context;
    this.#streamed = streamed;
    this.#check = streamed ? new StreamCheck() : new JsonCheck();
  }

  onRequestStart(): void {
    // undici asks for this handler.
  }

  onResponseStart(_controller: unknown, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    this.#status = status;
    this.#release = this.#context.statistics.answered(headers["x-release"], this.#sentAt);
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    if (this.#status !== 200) return;
    if (!this.#begun) {
      this.#begun = true;
      const { statistics, dueAt } = this.#context;
      if (this.#streamed) statistics.firstToken.record(performance.now() - dueAt);
    }
    this.#check.push(chunk);
  }

  onResponseEnd(): void {
    const problem = this.#check.problem();
    if (this.#status !== 200) this.fail("status", `answered ${this.#status}`);
    else if (problem !== undefined) this.fail("content", problem);
    else this.#succeed();
  }

  onResponseError(_controller: unknown, error: Error): void {
    const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
    const detail = `${code}: ${error.message}`.slice(0, 200);
    if (STOOD_STILL.has(code)) this.fail("timeout", detail);
    else this.fail(this.#status === undefined ? "connection" : "truncated", detail);
  }

  fail(kind: FailureKind, detail: string): void {
    if (!this.#settle()) return;
    this.#context.statistics.fail(this.#release, kind, detail);
    this.#context.settled(false);
  }

  #succeed(): void {
    if (!this.#settle()) return;
    const { statistics, dueAt, timed, settled } = this.#context;
    if (timed) statistics.latency.record(performance.now() - dueAt);
    statistics.succeed(this.#release);
    settled(true);
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    return true;
  }
}
