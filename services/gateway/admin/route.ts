import type { Request } from "express";
import type { z } from "zod";
import { ApiError, type ErrorName } from "../api/errors.ts";
import type { Gateway, Step } from "../exchange.ts";
import { type Database, DatabaseAway } from "../state/database.ts";
import { authenticate } from "../steps/authenticate.ts";
import { authenticated, authorise } from "../steps/authorise.ts";
import { requestId } from "../steps/request-id.ts";
import { PLAIN_NAME } from "../tenancy/names.ts";
import type { Action, Principal, Resource } from "../tenancy/principal.ts";
import { readBody, readQuery } from "./input.ts";

/** What a route of the admin API works with. */
export interface AdminCall<Body, Query> {
  readonly gateway: Gateway;
  readonly database: Database;
  readonly principal: Principal;
  /** Of the path. `tenant` is one that the caller may act for; whether it exists is the route's to find out. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: Body;
  readonly query: Query;
  /** Says for the audit log what it was about, where the path does not. */
  about(target: string): void;
}

/** One route of the admin API: what serves it and what documents it. */
export interface AdminRoute<Body = undefined, Query = undefined> {
  readonly method: "get" | "post" | "patch";
  /** Below /admin/v1, with parameters in braces. A parameter `tenant` is held against the caller's own. */
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly action: Action;
  readonly resource: Resource;
  /** Whether only operators may. @default false */
  readonly operatorsOnly?: boolean;
  readonly body?: z.ZodType<Body>;
  readonly query?: z.ZodType<Query>;
  readonly response: z.ZodType;
  /** @default 200 */
  readonly status?: 200 | 201;
  /** Errors beside those that every route has. */
  readonly errors?: readonly ErrorName[];
  handle(call: AdminCall<Body, Query>): Promise<unknown>;
}

/** A route whose inputs are its own business. */
export interface AnyAdminRoute extends Omit<AdminRoute, "body" | "query" | "handle"> {
  readonly body?: z.ZodType;
  readonly query?: z.ZodType;
  /** The steps of one request for it. */
  steps(request: Request): readonly Step[];
}

/** Makes a route that checks who asks and what before it does anything. */
export function adminRoute<Body = undefined, Query = undefined>(
  route: AdminRoute<Body, Query>,
): AnyAdminRoute {
  const { handle: _, ...documented } = route;
  return {
    ...documented,
    steps: ({ params }) => {
      const known = params as Record<string, string>;
      return [
        requestId,
        authenticate,
        authorise(route.action, route.resource),
        scope(route.operatorsOnly === true, known),
        answer(route, known),
      ];
    },
  };
}

/** Whatever is another tenant's looks as if it did not exist. */
function scope(operatorsOnly: boolean, params: Readonly<Record<string, string>>): Step {
  return function checkScope(exchange) {
    const principal = authenticated(exchange);
    exchange.target = Object.values(params).join("/") || undefined;
    if (Object.values(params).some((value) => !PLAIN_NAME.test(value))) {
      exchange.target = undefined;
      throw new ApiError("not_found");
    }
    if (principal.operator) return;
    if (operatorsOnly) throw new ApiError("permission");
    if (params.tenant !== undefined && params.tenant !== principal.tenant.id) throw new ApiError("not_found");
  };
}

function answer<Body, Query>(route: AdminRoute<Body, Query>, params: Readonly<Record<string, string>>): Step {
  return async function answerAdmin(exchange, gateway) {
    const { database } = gateway;
    // A schema that is left out stands for undefined, which is what the types then say.
    const query = (route.query && readQuery(exchange.request, route.query)) as Query;
    const body = (route.body && (await readBody(exchange, gateway, route.body))) as Body;
    if (!database) throw new ApiError("unavailable");
    const principal = authenticated(exchange);
    const about = (target: string) => {
      exchange.target = target;
    };
    const call = { gateway, database, principal, params, body, query, about };
    const result = await route.handle(call).catch(explain);
    exchange.answer = { kind: "json", status: route.status ?? 200, body: JSON.stringify(result) };
  };
}

function explain(error: unknown): never {
  throw error instanceof DatabaseAway ? new ApiError("unavailable") : error;
}
