import { ApiError } from "../api/errors.ts";
import type { Exchange, Step } from "../exchange.ts";
import { permits, permitsModel } from "../tenancy/grants.ts";
import type { Action, Principal, Resource } from "../tenancy/principal.ts";
import { validated } from "./validate.ts";

/** Refuses callers without the permission. */
export function authorise(action: Action, resource: Resource): Step {
  return function authoriseAction(exchange) {
    exchange.action = `${action}:${resource}`;
    if (!permits(authenticated(exchange), action, resource)) throw new ApiError("permission");
  };
}

/** Refuses models that the caller may not use, by the name that it gives: whether they exist is not told. */
export function authoriseModel(exchange: Exchange): void {
  if (permitsModel(authenticated(exchange), validated(exchange).model)) return;
  throw new ApiError("permission", { message: "The API key does not permit this model.", param: "model" });
}

/** Fails for a request that was not authenticated: a mistake in the order of the steps. */
export function authenticated({ principal }: Exchange): Principal {
  if (!principal) throw new Error("authenticate must come before this step");
  return principal;
}
