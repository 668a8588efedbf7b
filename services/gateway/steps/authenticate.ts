import { ApiError } from "../api/errors.ts";
import { internalCallerOf } from "../batches/internal-call.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import type { Principal } from "../tenancy/principal.ts";

// Tokens carry their claims; keys are much shorter.
const BEARER = /^bearer +([\x21-\x7e]{1,8192}) *$/i;

/** Finds the caller by the hash of the key, so that the time it takes says nothing about the keys that exist. */
export function authenticate(exchange: Exchange, gateway: Gateway): void | Promise<void> {
  const caller = internalCallerOf(exchange.request);
  if (caller) {
    exchange.principal = caller.principal;
    exchange.isBatch = true;
    exchange.billedAs = caller.billedAs;
    return;
  }
  const token = BEARER.exec(exchange.request.headers.authorization ?? "")?.[1];
  const found = token === undefined ? undefined : gateway.directory.find(token);
  if (found instanceof Promise) return found.then((principal) => admit(exchange, principal));
  return admit(exchange, found);
}

function admit(exchange: Exchange, principal: Principal | undefined): void {
  if (!principal || (principal.expiresAt !== undefined && principal.expiresAt <= Date.now())) {
    throw new ApiError("authentication_error");
  }
  exchange.principal = principal;
}
