import type { IncomingMessage, ServerResponse } from "node:http";
import type { ApiError } from "./api/errors.ts";
import type { Usage } from "./api/schemas.ts";
import type { AuditLog } from "./audit/audit-log.ts";
import type { BatchService } from "./batches/service.ts";
import type { GatewayConfig } from "./config.ts";
import type { Ledger } from "./cost/ledger.ts";
import type { PriceTable } from "./cost/price.ts";
import type { ExchangeList } from "./exchange-list.ts";
import type { FeedbackTokens } from "./feedback.ts";
import type { FeatureFlags } from "./flags/flags.ts";
import type { Admitted, Limiter } from "./limits/limiter.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { AdmissionQueue } from "./queue/queue.ts";
import type { Release, Waiting } from "./queue/waiting.ts";
import type { Settings } from "./settings.ts";
import type { Database } from "./state/database.ts";
import type { KeyValue } from "./state/key-value.ts";
import type { Route } from "./steps/route.ts";
import type { Bill } from "./steps/settle.ts";
import type { RequestTrace } from "./telemetry/request-trace.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";
import type { Directory } from "./tenancy/directory.ts";
import type { Principal } from "./tenancy/principal.ts";
import type { UpstreamAnswer } from "./upstream/answer.ts";
import type { Backend } from "./upstream/backend.ts";
import type { EventStream } from "./upstream/event-stream.ts";
import type { UpstreamFailure } from "./upstream/failure.ts";
import type { ModelTable } from "./upstream/model-table.ts";
import type { Model } from "./upstream/models.ts";

/** What every step may use. */
export interface Gateway {
  readonly config: GatewayConfig;
  /** What the settings file says now: another object after it changed. */
  settings: Settings;
  /** Headers of every answer, names and values in turn. */
  readonly headers: readonly string[];
  readonly models: ModelTable;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** Bytes of bodies that are being read now, of all requests together. */
  readonly arriving: { bytes: number };
  /** Where requests wait for a place at their model. */
  readonly queue: AdmissionQueue;
  /** Decides who may go on. */
  readonly limiter: Limiter;
  readonly directory: Directory;
  /** Undefined where there are no flags. */
  readonly flags: FeatureFlags | undefined;
  /** Undefined where no feedback is wanted. */
  readonly feedback: FeedbackTokens | undefined;
  /** Undefined where there is no such store. */
  readonly keyValue: KeyValue | undefined;
  /** Undefined where there is no such store. */
  readonly database: Database | undefined;
  /** Undefined where nothing can be stored, for want of a database or of keys for stored content. */
  readonly batches: BatchService | undefined;
  /** Keeps what requests cost. Undefined where there is no database. */
  readonly ledger: Ledger | undefined;
  /** Undefined where there is no database to keep it. */
  readonly audit: AuditLog | undefined;
  /** Exchanges that are under way, so that a drain can wait for them and end them. */
  readonly exchanges: ExchangeList;
  draining: boolean;
}

export type Answer =
  | {
      readonly kind: "json";
      readonly status: 200 | 201 | 202;
      readonly body: string | Buffer;
      /** @default application/json */
      readonly contentType?: string;
    }
  | { readonly kind: "stream"; readonly stream: EventStream }
  | {
      /** Stored content: its size, its first chunk, and the rest as it is read. */
      readonly kind: "content";
      readonly bytes: number;
      readonly first: Buffer;
      readonly rest: AsyncIterable<Buffer>;
    }
  | { readonly kind: "error"; readonly error: ApiError };

/** What the gateway relies on in a request's body. */
export interface InferenceRequest {
  readonly model: string;
  readonly stream?: boolean | null | undefined;
  readonly stream_options?: Record<string, unknown> | null | undefined;
}

/** One request and what the steps have found out about it so far. */
export class Exchange {
  readonly startedAt: number = performance.now();
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The path as the API documents it; never what the client sent. */
  readonly endpoint: string;
  id = "";
  /** Its place in the list of all that are under way. */
  listedAt = -1;
  /** Headers that the answer has beside those of every answer, names and values in turn. */
  readonly headers: string[] = [];
  /** The id towards the replica: unlike a client's, certainly unique. */
  upstreamId = "";
  /** Tells it from all other requests, also of other gateways and with the same id. */
  uuid = "";
  /** Who asks; undefined until that is known. */
  principal: Principal | undefined;
  /** What the caller is about to do, as `action:resource`; undefined until that is known. */
  action: string | undefined;
  /** What it is about, by id; undefined where nothing has one. */
  target: string | undefined;
  body: Buffer = Buffer.alloc(0);
  parsed: InferenceRequest | undefined;
  /** Where the request may go; undefined until that is decided. */
  route: Route | undefined;
  /** What answers: the model that the client named, one that its name stands for, or a fallback. */
  model: Model | undefined;
  /** Whether the model that the client named is not one of the gateway's. */
  unknownModel = false;
  /** What was asked last. */
  backend: Backend | undefined;
  /** How often backends were asked. */
  attempts = 0;
  /** Its spans; undefined where it is not traced, as most are not. */
  trace: RequestTrace | undefined;
  /** Header that tells backends of a trace that the client began and that is not recorded here. */
  traceparent: string | undefined;
  /** Whether it is a request of a batch, that nobody waits for at a connection. */
  isBatch = false;
  /** The id under which its success is billed once, however often it is tried; undefined for all but batches. */
  billedAs: string | undefined;
  /** Its place in the queue while it waits. */
  waiting: Waiting | undefined;
  /** Milliseconds that it waited in the queue; undefined where it never had to. */
  queuedMs: number | undefined;
  /** Gives its place at the model back. */
  place: Release | undefined;
  /** What was reserved for it; settled when it is over. */
  reservation: Admitted | undefined;
  answer: Answer | undefined;
  usage: Usage | undefined;
  /** About how many tokens a whole answer holds whose backend told no usage. */
  unmeteredTokens: number | undefined;
  /** What the models cost when it came; undefined until it goes to one. */
  prices: PriceTable | undefined;
  /** What it has cost; undefined until it is over, and for what never reached a model. */
  bill: Bill | undefined;
  /** Milliseconds on the clock of `performance.now()` when the client was sent its first event. */
  firstEventAt: number | undefined;
  /** The error that the client was told, also inside a stream. */
  error: ApiError | undefined;
  /** What the replica is answering now. */
  upstream: UpstreamAnswer | undefined;
  /** Why the last replica that was asked gave no answer, or no whole one. */
  failure: UpstreamFailure | undefined;
  /** Why the work at the backend was ended early. */
  cancelled: UpstreamFailure | undefined;
  /** When the answer must be complete or a stream must have begun, on the clock of `performance.now()`. */
  deadlineAt = Number.POSITIVE_INFINITY;
  /** Ends the wait for the next try, while there is one. */
  wake: (() => void) | undefined;
  /** Whether the answer only says that there is none. */
  degraded = false;

  constructor(request: IncomingMessage, response: ServerResponse, endpoint: string) {
    this.request = request;
    this.response = response;
    this.endpoint = endpoint;
  }

  get streamed(): boolean {
    return this.parsed?.stream === true;
  }

  /** Whether the platform's own checks ask, not a client. */
  get isProbe(): boolean {
    return this.principal?.probe === true;
  }

  /** Ends the wait for the model or for the next try, or the work at the backend, at once. */
  cancel(failure: UpstreamFailure): void {
    this.cancelled ??= failure;
    this.waiting?.cancel(failure);
    this.upstream?.cancel(failure);
    this.wake?.();
  }

  /** Gives the place at the model back, if it has one: the model has done its part. */
  leaveModel(): void {
    const { place } = this;
    this.place = undefined;
    place?.();
  }

  /** Whether the client has left before its answer was complete. */
  get abandoned(): boolean {
    return this.response.closed && !this.response.writableFinished;
  }
}

/** One thing that is done to every exchange; a step that throws ends the decision. */
export type Step = (exchange: Exchange, gateway: Gateway) => void | Promise<void>;
