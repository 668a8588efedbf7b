import { IncomingMessage, ServerResponse } from "node:http";
import express, { type Express, type Request, type Response } from "express";
import { adminRouter } from "./admin/router.ts";
import { ApiError } from "./api/errors.ts";
import type { Readiness } from "./api/schemas.ts";
import { addBatchRoutes } from "./batch-routes.ts";
import { PATHS } from "./contract.ts";
import { Exchange, type Gateway, type Step } from "./exchange.ts";
import type { DependencyWatch } from "./state/dependency.ts";
import { DECIDE, decideContent, decideModel, decideRefusal, run } from "./steps/index.ts";

const UNKNOWN_PATH = "other";

/** The routes: which path takes which steps. */
export function createApp(gateway: Gateway, dependencies: DependencyWatch, openApi: string): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", false);
  const through = (endpoint: string, steps: readonly Step[]) => (request: Request, response: Response) =>
    void run(new Exchange(request, response, endpoint), gateway, steps);
  const post = (path: string, steps: readonly Step[]) =>
    app.post(path, through(path, steps)).all(path, through(path, decideRefusal(notAllowed("POST"))));
  post(PATHS.chatCompletions, DECIDE.chat);
  post(PATHS.completions, DECIDE.completions);
  post(PATHS.embeddings, DECIDE.embeddings);
  if (gateway.feedback) post(PATHS.feedback, DECIDE.feedback);
  if (gateway.batches) {
    addBatchRoutes(app, {
      take: (endpoint, step) => through(endpoint, decideContent(step)),
      refuse: (endpoint, allow) => through(endpoint, decideRefusal(notAllowed(allow))),
    });
  }
  app.get(PATHS.models, through(PATHS.models, DECIDE.models));
  app.get(`${PATHS.models}/*name`, (request, response) => {
    const name = request.path.slice(PATHS.models.length + 1);
    through(PATHS.models, decideModel(decodeURIComponent(name)))(request, response);
  });
  app.all(`${PATHS.models}{/*name}`, through(PATHS.models, decideRefusal(notAllowed("GET, HEAD"))));
  app.use(PATHS.admin, adminRouter(gateway));
  app.all("/v1/*path", through(UNKNOWN_PATH, decideRefusal(new ApiError("not_found"))));
  // What is no exchange does not add them by itself.
  app.use((_request, response, next) => {
    setAll(response, gateway.headers);
    next();
  });
  addOperations(app, { gateway, dependencies, openApi });
  app.use((_request: Request, response: Response) => sendError(response, new ApiError("not_found")));
  app.use((error: unknown, _request: Request, response: Response, _next: unknown) => {
    // Express itself refuses only paths that cannot be decoded, before anything else sees them.
    setAll(response, gateway.headers);
    sendError(response, new ApiError(isBadRequest(error) ? "not_found" : "server_error"));
  });
  return app;
}

interface Operations {
  readonly gateway: Gateway;
  readonly dependencies: DependencyWatch;
  readonly openApi: string;
}

function addOperations(app: Express, { gateway, dependencies, openApi }: Operations): void {
  const get = (path: string, handler: (response: Response) => void | Promise<void>) => {
    app.get(path, (_request, response) => {
      if (gateway.draining) response.setHeader("connection", "close");
      return handler(response);
    });
    app.all(path, (_request, response) => sendError(response, notAllowed("GET, HEAD")));
  };
  get(PATHS.health, (response) => void response.json({ status: "ok" }));
  get(PATHS.ready, (response) => {
    const readiness = toReadiness(gateway, dependencies);
    response.status(readiness.status === "ready" ? 200 : 503).json(readiness);
  });
  get(PATHS.metrics, async (response) => {
    const text = await gateway.metrics.registry.metrics();
    response.setHeader("content-type", gateway.metrics.registry.contentType);
    response.end(text);
  });
  get(PATHS.openapi, (response) => void response.type("json").end(openApi));
}

function toReadiness({ config, models, draining }: Gateway, dependencies: DependencyWatch): Readiness {
  const able = models.ready ? "ready" : "not_ready";
  return {
    status: draining ? "draining" : able,
    color: config.color,
    release: config.release,
    models: models.list.map(({ name, replicas, healthyReplicas }) => ({
      name,
      replicas: replicas.length,
      healthy: healthyReplicas,
    })),
    dependencies: dependencies.states,
  };
}

function setAll(response: Response, headers: readonly string[]): void {
  for (let at = 0; at < headers.length; at += 2) response.setHeader(headers[at] ?? "", headers[at + 1] ?? "");
}

function notAllowed(allow: string): ApiError {
  return new ApiError("method_not_allowed", { allow });
}

function isBadRequest(error: unknown): boolean {
  return typeof error === "object" && error !== null && "status" in error && error.status === 400;
}

function sendError(response: Response, error: ApiError): void {
  response.status(error.status).set(error.toHeaders()).type("json").end(error.toBody());
}

/**
 * Constructors that give requests and responses the app's own prototypes from the start. Express would otherwise
 * change the prototype of every single one, which costs more than all its routing.
 */
export function constructorsFor(app: Express) {
  class AppRequest extends IncomingMessage {}
  class AppResponse<R extends IncomingMessage> extends ServerResponse<R> {}
  Object.setPrototypeOf(AppRequest.prototype, app.request);
  Object.setPrototypeOf(AppResponse.prototype, app.response);
  Object.assign(app, { request: AppRequest.prototype, response: AppResponse.prototype });
  return { IncomingMessage: AppRequest, ServerResponse: AppResponse };
}
