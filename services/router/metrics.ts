import { Counter, Gauge, Registry } from "prom-client";
import { COLORS, type Color, ROUTER_METRICS, type Traffic } from "./contract.ts";

export interface RouterMetrics {
  readonly registry: Registry;
  started(color: Color): void;
  ended(color: Color): void;
  /** Counts one request of a client by what the client got; `status` is undefined when it broke off. */
  answered(color: Color | undefined, status: number | undefined): void;
  show(traffic: Traffic): void;
}

export function createMetrics(): RouterMetrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: ROUTER_METRICS.requests,
    help: "Requests by color and class of the answer.",
    labelNames: ["color", "status"],
    registers,
  });
  const active = new Gauge({
    name: ROUTER_METRICS.activeRequests,
    help: "Requests that a color is answering now.",
    labelNames: ["color"],
    registers,
  });
  const weight = new Gauge({
    name: ROUTER_METRICS.weight,
    help: "Share of the traffic in percent.",
    labelNames: ["color"],
    registers,
  });
  const generation = new Gauge({
    name: ROUTER_METRICS.generation,
    help: "Generation of the weights in force.",
    registers,
  });
  return {
    registry,
    started: (color) => active.inc({ color }),
    ended: (color) => active.dec({ color }),
    answered: (color, status) =>
      requests.inc({
        color: color ?? "none",
        status: status === undefined ? "aborted" : `${Math.floor(status / 100)}xx`,
      }),
    show: (traffic) => {
      for (const color of COLORS) weight.set({ color }, traffic.backends[color]?.weight ?? 0);
      generation.set(traffic.generation);
    },
  };
}
