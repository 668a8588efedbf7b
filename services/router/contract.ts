/** What others need to know to start the router and to set its weights. Imports nothing, so that anyone may import it. */

/** Environment variables that the router reads. */
export const ROUTER_ENV = {
  /** Address of the public listener. Default `127.0.0.1`. The admin listener is always on `127.0.0.1`. */
  host: "ROUTER_HOST",
  /** Port of the public listener; 0 lets the system choose. */
  port: "ROUTER_PORT",
  /** Port of the admin listener; 0 lets the system choose. */
  adminPort: "ROUTER_ADMIN_PORT",
  /** Secret that admin requests carry as `Authorization: Bearer <token>`; at least 16 characters. */
  adminToken: "ROUTER_ADMIN_TOKEN",
  /** File that keeps weights and generation across restarts. */
  stateFile: "ROUTER_STATE_FILE",
  /** Seconds that requests in flight get to finish after SIGTERM. Default 30. */
  drainSeconds: "ROUTER_DRAIN_SECONDS",
} as const;

/** Paths of the admin listener. All but `health` need the token. */
export const ROUTER_ADMIN_PATHS = {
  traffic: "/v1/traffic",
  health: "/healthz",
  metrics: "/metrics",
} as const;

/**
 * Requests with the same value of this header go to the same color as long as the weights stand. Requests without
 * it are spread at random: an API key names a tenant, and hashing it would put a whole tenant on one color.
 */
export const ROUTER_USER_HEADER = "x-user-id";

/** Names and labels of the router's metrics. */
export const ROUTER_METRICS = {
  /** Counter; labels `color` (`none` where no backend was asked) and `status` (`2xx` to `5xx`, or `aborted`). */
  requests: "router_requests_total",
  /** Gauge; label `color`. */
  activeRequests: "router_active_requests",
  /** Gauge; label `color`: the share of traffic, 0 to 100. */
  weight: "router_weight",
  /** Gauge without labels. */
  generation: "router_traffic_generation",
} as const;

export type Color = "blue" | "green";

export const COLORS: readonly Color[] = ["blue", "green"];

export interface Backend {
  /** Origin of the color's gateway, `http:` or `https:`, without path. */
  readonly url: string;
  /** Share of the traffic in percent, a whole number from 0 to 100. */
  readonly weight: number;
}

/** Body of `GET` and `PUT /v1/traffic`. A color that does not exist yet is left out. */
export interface Traffic {
  /** Grows with every change; a `PUT` whose generation is not above the current one is refused with status 409. */
  readonly generation: number;
  /** Weights add up to 100, or to 0 when nothing is to be served. */
  readonly backends: Readonly<Partial<Record<Color, Backend>>>;
}

/** Body of a refused admin request. */
export interface AdminRefusal {
  readonly error: { readonly message: string };
  /** With status 409 only: the generation that the next writer must exceed. */
  readonly generation?: number;
}
