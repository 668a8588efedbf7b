import { Pool } from "undici";
import { COLORS, type Color, type Traffic } from "./contract.ts";
import { chooseColor } from "./selection.ts";

// A local backend accepts at once or not at all.
const CONNECT_TIMEOUT_MS = 2_000;
const MAX_RESPONSE_HEADER_BYTES = 64 * 1024;

export interface Upstream {
  readonly color: Color;
  readonly url: string;
  readonly pool: Pool;
}

/** The connections to the colors. */
export interface Backends {
  apply(traffic: Traffic): void;
  choose(userId: string | undefined): Upstream | undefined;
  /** Where else a request may go that `color` refused: the other color, if it takes any traffic. */
  alternative(color: Color): Upstream | undefined;
  /** Cuts every connection to the colors. */
  destroy(): Promise<void>;
}

function createPool(url: string): Pool {
  return new Pool(url, {
    allowH2: false,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
    // A model may think for minutes, and a stream may pause: the gateway has the deadlines.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

export function createBackends(): Backends {
  let traffic: Traffic = { generation: 0, backends: {} };
  let upstreams: Partial<Record<Color, Upstream>> = {};
  const open = new Set<Pool>();

  function retire(pool: Pool): Promise<void> {
    // close() waits for the responses under way.
    return pool.close().finally(() => open.delete(pool));
  }

  function upstreamFor(color: Color, url: string): Upstream {
    const existing = upstreams[color];
    if (existing?.url === url) return existing;
    const pool = createPool(url);
    open.add(pool);
    return { color, url, pool };
  }

  return {
    apply(next) {
      const previous = Object.values(upstreams);
      const entries = COLORS.flatMap((color) => {
        const backend = next.backends[color];
        return backend === undefined ? [] : [[color, upstreamFor(color, backend.url)] as const];
      });
      upstreams = Object.fromEntries(entries);
      traffic = next;
      for (const upstream of previous) {
        if (upstreams[upstream.color] !== upstream) void retire(upstream.pool);
      }
    },
    choose(userId) {
      const color = chooseColor(userId, traffic);
      return color === undefined ? undefined : upstreams[color];
    },
    alternative(color) {
      const other = color === "blue" ? "green" : "blue";
      return (traffic.backends[other]?.weight ?? 0) > 0 ? upstreams[other] : undefined;
    },
    destroy: async () => {
      await Promise.all([...open].map((pool) => pool.destroy()));
    },
  };
}
