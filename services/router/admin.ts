import { createHash, timingSafeEqual } from "node:crypto";
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from "express";
import { z } from "zod";
import { type AdminRefusal, ROUTER_ADMIN_PATHS } from "./contract.ts";
import type { RouterMetrics } from "./metrics.ts";
import { StaleGenerationError, type TrafficStore, trafficSchema } from "./traffic.ts";

export interface AdminContext {
  readonly token: string;
  readonly store: TrafficStore;
  readonly metrics: RouterMetrics;
}

function refusal(message: string, generation?: number): AdminRefusal {
  return generation === undefined ? { error: { message } } : { error: { message }, generation };
}

function digest(value: string): Buffer {
  return createHash("sha256").update(value).digest();
}

function requireToken(token: string): RequestHandler {
  const expected = digest(`Bearer ${token}`);
  return (request, response, next) => {
    if (timingSafeEqual(digest(request.headers.authorization ?? ""), expected)) return next();
    response
      .status(401)
      .set("www-authenticate", "Bearer")
      .json(refusal("the admin token is missing or wrong"));
  };
}

function replaceTraffic(store: TrafficStore): RequestHandler {
  return async (request, response) => {
    const parsed = trafficSchema.safeParse(request.body);
    if (!parsed.success) {
      response.status(400).json(refusal(z.prettifyError(parsed.error)));
      return;
    }
    try {
      await store.replace(parsed.data);
      response.json(store.current());
    } catch (error) {
      if (!(error instanceof StaleGenerationError)) throw error;
      response.status(409).json(refusal(error.message, error.current));
    }
  };
}

const onError: ErrorRequestHandler = (error, _request, response, _next) => {
  const status = typeof error?.status === "number" ? error.status : 500;
  const message =
    status < 500 ? "the body is not valid JSON of at most 16 kB" : "the change could not be saved";
  response.status(status).json(refusal(message));
};

/** The admin API. Its callers are operators: the weights decide who serves. */
export function createAdminApp({ token, store, metrics }: AdminContext): Express {
  const app = express();
  app.disable("x-powered-by");
  app.get(ROUTER_ADMIN_PATHS.health, (_request, response) => {
    response.json({ status: "ok" });
  });
  app.use(requireToken(token));
  app.get(ROUTER_ADMIN_PATHS.traffic, (_request, response) => {
    response.json(store.current());
  });
  app.put(ROUTER_ADMIN_PATHS.traffic, express.json({ limit: "16kb" }), replaceTraffic(store));
  app.get(ROUTER_ADMIN_PATHS.metrics, async (_request, response) => {
    response.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  app.use((_request, response) => {
    response.status(404).json(refusal("no such path"));
  });
  app.use(onError);
  return app;
}
