import { z } from "zod";
import { CATALOGUE, type ErrorName } from "../api/errors.ts";
import { PATHS, RELEASE_HEADER } from "../contract.ts";
import type { AnyAdminRoute } from "./route.ts";
import { ADMIN_ROUTES } from "./router.ts";

type Json = Record<string, unknown>;

const COMMON_ERRORS: readonly ErrorName[] = [
  "invalid_request",
  "authentication_error",
  "permission",
  "not_found",
  "request_too_large",
  "headers_too_large",
  "unavailable",
];

/** The schemas of all routes that have a name of their own. */
export const adminSchemas: readonly z.ZodType[] = [
  ...new Set(ADMIN_ROUTES.flatMap(({ body, response }) => (body ? [body, response] : [response]))),
];

/** What the admin API offers, for the OpenAPI document. */
export function adminPaths(): Json {
  const paths: Record<string, Json> = {};
  for (const route of ADMIN_ROUTES) {
    const path = PATHS.admin + route.path;
    paths[path] = { ...paths[path], [route.method]: operation(route) };
  }
  return paths;
}

function operation(route: AnyAdminRoute): Json {
  const { operationId, summary, action, resource, body, response, status = 200, errors = [] } = route;
  const who = route.operatorsOnly ? " Operators only." : "";
  return {
    operationId,
    summary,
    description: `Needs the permission ${action}:${resource}.${who}`,
    tags: ["admin"],
    parameters: [...pathParameters(route.path), ...queryParameters(route.query)],
    ...(body ? { requestBody: { required: true, content: json(body) } } : {}),
    responses: {
      [status]: { ...answer("The answer."), content: json(response) },
      ...Object.fromEntries(
        [...COMMON_ERRORS, ...errors].map((name) => [
          CATALOGUE[name].status,
          { ...answer(CATALOGUE[name].message), content: { "application/json": { schema: ref("Error") } } },
        ]),
      ),
    },
  };
}

function answer(description: string): Json {
  return { description, headers: { [RELEASE_HEADER]: { $ref: `#/components/headers/${RELEASE_HEADER}` } } };
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryParameters(query: z.ZodType | undefined): Json[] {
  if (!query) return [];
  const { properties = {} } = z.toJSONSchema(query, { io: "input" });
  return Object.entries(properties).map(([name, schema]) => ({ name, in: "query", required: false, schema }));
}

function json(schema: z.ZodType): Json {
  return { "application/json": { schema: ref(z.globalRegistry.get(schema)?.id ?? "") } };
}

function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}
