import { type Request, type Response, Router } from "express";
import { ApiError } from "../api/errors.ts";
import { PATHS } from "../contract.ts";
import { Exchange, type Gateway, type Step } from "../exchange.ts";
import { decideRefusal, run } from "../steps/index.ts";
import { AUDIT_ROUTES } from "./audit.ts";
import { COST_ROUTES } from "./costs.ts";
import { KEY_ROUTES } from "./keys.ts";
import { PROJECT_ROUTES } from "./projects.ts";
import type { AnyAdminRoute } from "./route.ts";
import { TENANT_ROUTES } from "./tenants.ts";

/** Every route of the admin API; what is added here is served and documented. */
export const ADMIN_ROUTES: readonly AnyAdminRoute[] = [
  ...TENANT_ROUTES,
  ...PROJECT_ROUTES,
  ...KEY_ROUTES,
  ...AUDIT_ROUTES,
  ...COST_ROUTES,
];

const UNKNOWN_PATH = "other";

/** Serves the admin API, through the same machinery as everything else. */
export function adminRouter(gateway: Gateway): Router {
  const router = Router({ caseSensitive: true });
  const through = (endpoint: string, steps: (request: Request) => readonly Step[]) => {
    return (request: Request, response: Response) =>
      void run(new Exchange(request, response, endpoint), gateway, steps(request));
  };
  for (const route of ADMIN_ROUTES) {
    router[route.method](toExpress(route.path), through(PATHS.admin + route.path, route.steps));
  }
  for (const path of new Set(ADMIN_ROUTES.map((route) => route.path))) {
    const methods = ADMIN_ROUTES.filter((route) => route.path === path).map(({ method }) =>
      method.toUpperCase(),
    );
    const refusal = decideRefusal(new ApiError("method_not_allowed", { allow: methods.join(", ") }));
    router.all(
      toExpress(path),
      through(PATHS.admin + path, () => refusal),
    );
  }
  const nothing = decideRefusal(new ApiError("not_found"));
  router.use(through(UNKNOWN_PATH, () => nothing));
  return router;
}

function toExpress(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ":$1");
}
