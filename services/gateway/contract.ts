// What the gateway promises to the rest of the platform. Components set these variables and probe these paths;
// the release controller, dashboards and alerts read these metrics. Nothing here may change without them.

/** Names of the environment variables that configure the gateway; config.ts says what each may hold. */
export const ENV = {
  host: "GATEWAY_HOST",
  port: "GATEWAY_PORT",
  color: "GATEWAY_COLOR",
  release: "GATEWAY_RELEASE",
  releaseLabel: "GATEWAY_RELEASE_LABEL",
  models: "GATEWAY_MODELS",
  keys: "GATEWAY_KEYS",
  redisUrl: "GATEWAY_REDIS_URL",
  databaseUrl: "GATEWAY_DATABASE_URL",
  flagsFile: "GATEWAY_FLAGS_FILE",
  /** YAML or JSON; docs/gateway/settings.yaml says what it may hold. */
  settingsFile: "GATEWAY_SETTINGS_FILE",
  /** A folder for what is settled and not in the ledger yet; gateways, also of both colors, may share one. */
  journalDir: "GATEWAY_JOURNAL_DIR",
  /** JSON: what providers ask for, by the names that the settings call it. */
  credentials: "GATEWAY_CREDENTIALS",
  feedbackKey: "GATEWAY_FEEDBACK_KEY",
  contentKeys: "GATEWAY_CONTENT_KEYS",
  telemetryKey: "GATEWAY_TELEMETRY_KEY",
  sentryDsn: "GATEWAY_SENTRY_DSN",
  requestTimeoutSeconds: "GATEWAY_REQUEST_TIMEOUT_SECONDS",
  streamIdleTimeoutSeconds: "GATEWAY_STREAM_IDLE_TIMEOUT_SECONDS",
  keepAliveSeconds: "GATEWAY_KEEP_ALIVE_SECONDS",
  drainDelaySeconds: "GATEWAY_DRAIN_DELAY_SECONDS",
  drainSeconds: "GATEWAY_DRAIN_SECONDS",
  probeIntervalSeconds: "GATEWAY_PROBE_INTERVAL_SECONDS",
  maxBodyBytes: "GATEWAY_MAX_BODY_BYTES",
  logLevel: "GATEWAY_LOG_LEVEL",
} as const;

/** The paths the gateway serves; those under /v1 and /admin/v1 need an API key, the others need none. */
export const PATHS = {
  chatCompletions: "/v1/chat/completions",
  completions: "/v1/completions",
  embeddings: "/v1/embeddings",
  models: "/v1/models",
  /** Takes ratings of answers, if the gateway has a key for their tokens. */
  feedback: "/v1/feedback",
  /** Files and batches, if the gateway has a database and keys for stored content. */
  files: "/v1/files",
  file: "/v1/files/{file_id}",
  fileContent: "/v1/files/{file_id}/content",
  batches: "/v1/batches",
  batch: "/v1/batches/{batch_id}",
  batchCancel: "/v1/batches/{batch_id}/cancel",
  /** Below it are tenants, projects, keys and what happened. */
  admin: "/admin/v1",
  /** 200 as long as the process lives, also while it drains. */
  health: "/health",
  /** 200 when at least one replica of at least one chat model is healthy; 503 before that and while draining. */
  ready: "/ready",
  metrics: "/metrics",
  openapi: "/openapi.json",
} as const;

/** The `event` field of the log line that carries `host` and `port` once the gateway accepts connections. */
export const LISTENING_EVENT = "listening";

/** Request and response header that carries the id of a request. */
export const REQUEST_ID_HEADER = "x-request-id";

/** Request header that names the client's user, whom percentage flags and the router go by. */
export const USER_ID_HEADER = "x-user-id";

/** Request header that says what the request is, for names that go by it: simple, complex, code. */
export const TASK_HEADER = "x-task";

/** Request header that raises the tenant's sensitivity for one request: low, medium, high. */
export const SENSITIVITY_HEADER = "x-sensitivity";

/** Response header that names the model that answered in place of the one that was asked for. */
export const FALLBACK_HEADER = "x-model-fallback";

/** Response header, "true" on an answer that only says that there is none. */
export const DEGRADED_HEADER = "x-degraded";

/** Response header that names the release that answered. */
export const RELEASE_HEADER = "x-release";

/** Response header with the token by which the client can rate its answer. */
export const FEEDBACK_HEADER = "x-feedback-token";

const MODEL = "model";
const ENDPOINT = "endpoint";
/** "true" for requests with a key of the platform's own checks; "false" for clients' and unauthenticated ones. */
const PROBE = "probe";

/** Every metric also carries `color` and `release`. */
export const COMMON_LABELS = ["color", "release"] as const;

/** Values of `model` for requests without a model and with one that the gateway does not serve. */
export const NO_MODEL = "none";
export const UNKNOWN_MODEL = "unknown";

/** Value of `tenant` for requests that were not authenticated. */
export const NO_TENANT = "none";

/** Value of `tenant` for the tenants beyond the number that are counted each by its own name. */
export const OTHER_TENANTS = "other";

/** Value of `variant` for flags that are disabled or cannot be evaluated: they are off. */
export const NO_VARIANT = "none";

/** Seconds; the bounds hold the objectives and verdicts that are judged on them: 0.8, 1, 2, 3, 5 and 10 s. */
const LATENCY_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30, 60, 120];
const FIRST_TOKEN_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 3, 5, 10, 30];
const WAIT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60];
const PER_TOKEN_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1];

/**
 * Name, help, labels and, for histograms, bucket bounds of every metric of the gateway. Alerts, dashboards and the
 * release controller go by these names: one that is in use is never renamed, only left beside a new one.
 */
export const METRICS = {
  requests: {
    name: "gateway_requests_total",
    help: "Requests by model, endpoint, HTTP status (499: the client left first), tenant and probe (true: our own checks).",
    labels: [MODEL, ENDPOINT, "status", "tenant", PROBE],
  },
  batchRequests: {
    name: "gateway_batch_requests_total",
    help: "Requests of batches, which no other metric of requests counts, by HTTP status; those that are tried again each time.",
    labels: [MODEL, ENDPOINT, "status", "tenant"],
  },
  failures: {
    name: "gateway_failures_total",
    help: "Answers that failed by our fault: status (5xx) or stream (ended in an error, or cut before its end); by probe.",
    labels: [MODEL, ENDPOINT, "reason", PROBE],
  },
  duration: {
    name: "gateway_request_duration_seconds",
    help: "Seconds from the request's arrival to the last byte of its answer, by probe.",
    labels: [MODEL, ENDPOINT, "stream", "status_class", PROBE],
    buckets: LATENCY_BUCKETS,
  },
  timeToFirstToken: {
    name: "gateway_time_to_first_token_seconds",
    help: "Seconds from a streamed request's arrival to the first event sent to its client, by probe.",
    labels: [MODEL, ENDPOINT, PROBE],
    buckets: FIRST_TOKEN_BUCKETS,
  },
  timePerOutputToken: {
    name: "gateway_time_per_output_token_seconds",
    help: "Seconds per generated token after the first, of streams whose tokens are known, by probe.",
    labels: [MODEL, ENDPOINT, PROBE],
    buckets: PER_TOKEN_BUCKETS,
  },
  tokens: {
    name: "gateway_tokens_total",
    help: "Tokens that the engine reported, by type: prompt, completion, and cached (those of the prompt that it had).",
    labels: [MODEL, "tenant", "type"],
  },
  activeRequests: {
    name: "gateway_active_requests",
    help: "Requests that are with a replica now.",
    labels: [MODEL],
  },
  queueLength: {
    name: "gateway_queue_length",
    help: "Requests that wait for a free replica now.",
    labels: [MODEL, "tier"],
  },
  queueBytes: {
    name: "gateway_queue_bytes",
    help: "Bytes of the bodies of all requests that wait now.",
    labels: [],
  },
  queueWait: {
    name: "gateway_queue_wait_seconds",
    help: "Seconds that requests waited for a free replica, by how it ended: admitted, expired, left.",
    labels: [MODEL, "tier", "end"],
    buckets: WAIT_BUCKETS,
  },
  queueRefused: {
    name: "gateway_queue_refused_total",
    help: "Requests that were refused a place in the queue or waited too long, by reason: tenant, tier, length, bytes, waited; and arriving, while bodies came in.",
    labels: [MODEL, "tier", "reason"],
  },
  cost: {
    name: "gateway_cost_usd_total",
    help: "US dollars that settled requests cost.",
    labels: [MODEL, "tenant"],
  },
  budgetUsed: {
    name: "gateway_budget_used_ratio",
    help: "Share of the tenant's budget that is spent in the running period (hour, day); alerts go by 0.8.",
    labels: ["tenant", "period"],
  },
  limited: {
    name: "gateway_limited_total",
    help: "Requests refused by a limit: requests, tokens, concurrency, budget, too_large (more tokens than a minute has), revoked.",
    labels: ["tenant", "because"],
  },
  limiterLocal: {
    name: "gateway_limiter_local",
    help: "1 while limits go by this gateway's own share, since the key-value store is away, else 0.",
    labels: [],
  },
  circuitState: {
    name: "gateway_circuit_state",
    help: "State of the breaker of each backend: 0 closed, 1 half-open, 2 open.",
    labels: [MODEL, "backend"],
  },
  retries: {
    name: "gateway_retries_total",
    help: "Attempts after the first, by the reason why the one before failed.",
    labels: [MODEL, "reason"],
  },
  fallbacks: {
    name: "gateway_fallbacks_total",
    help: "Requests that another model answered in place of the one that was asked for.",
    labels: [MODEL, "to"],
  },
  ledgerBacklog: {
    name: "gateway_ledger_backlog_records",
    help: "Settled requests that wait in the journal for the ledger.",
    labels: [],
  },
  auditLost: {
    name: "gateway_audit_lost_total",
    help: "Entries of the audit log that were given up since the database was away for too long.",
    labels: [],
  },
  keyLookups: {
    name: "gateway_key_lookups_total",
    help: "Keys and tokens that were not known here when they came, by outcome: found, wrong, unavailable.",
    labels: ["outcome"],
  },
  tenancyAge: {
    name: "gateway_tenancy_age_seconds",
    help: "Seconds since this gateway knew all changes of keys and tenants; -1 before it ever reached the database.",
    labels: [],
  },
  telemetryDropped: {
    name: "gateway_telemetry_dropped_total",
    help: "Spans and error reports that were given up since their receiver is away or slow, by signal: traces, errors.",
    labels: ["signal"],
  },
  upstreamFailures: {
    name: "gateway_upstream_failures_total",
    help: "Attempts that a replica failed, by reason: refused, reset, timeout, overloaded, status, protocol, incomplete.",
    labels: [MODEL, "reason"],
  },
  replicasHealthy: {
    name: "gateway_replicas_healthy",
    help: "Replicas that answer their health probe.",
    labels: [MODEL],
  },
  feedback: {
    name: "gateway_feedback_total",
    help: "Ratings (good, bad) that clients gave to answers, by the release that the answer is from.",
    labels: ["about", "rating"],
  },
  complainingUsers: {
    name: "gateway_complaining_users_total",
    help: "Users who rated an answer of the release `about` as bad, each of them once.",
    labels: ["about"],
  },
  settingsReloads: {
    name: "gateway_settings_reloads_total",
    help: "Times the settings file was read again because it had changed, by outcome: applied, refused.",
    labels: ["outcome"],
  },
  flagEvaluations: {
    name: "gateway_flag_evaluations_total",
    help: "Evaluations of feature flags by the variant that the user got.",
    labels: ["flag", "variant"],
  },
  dependencyUp: {
    name: "gateway_dependency_up",
    help: "1 while a data store that the gateway was given answers, else 0.",
    labels: ["dependency"],
  },
  buildInfo: {
    name: "gateway_build_info",
    help: "Always 1; says which release runs on which Node.js.",
    labels: ["release_label", "node_version"],
  },
} as const;
