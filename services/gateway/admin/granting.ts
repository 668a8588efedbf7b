import { ApiError } from "../api/errors.ts";
import { coversModel, coversPermission } from "../tenancy/grants.ts";
import type { Principal } from "../tenancy/principal.ts";

/** What a key is to be able to do. */
export interface Granted {
  readonly permissions: readonly string[];
  readonly models: readonly string[] | null;
  readonly limits: Readonly<Record<string, number | null>>;
  readonly operator: boolean;
  /** Null for never. */
  readonly expires_at: Date | null;
}

const BOUNDS = ["requestsPerMinute", "tokensPerMinute", "concurrency"] as const;

/**
 * Fails where a key could do more than the one that makes it, or longer: whoever may make keys could otherwise make
 * itself anything.
 */
export function requireNoMore(principal: Principal, granted: Granted): void {
  const excess = excessOf(principal, granted);
  if (excess === undefined) return;
  throw new ApiError("permission", { message: `The key would ${excess}.` });
}

function excessOf(own: Principal, { permissions, models, limits, operator, expires_at }: Granted) {
  if (operator && !own.operator) return "act for all tenants, which yours does not";
  if (!permissions.every((one) => coversPermission(own.permissions, one))) {
    return "be permitted what yours is not";
  }
  if (own.models && !(models?.every((one) => coversModel(own.models, one)) ?? false)) {
    return "be permitted models that yours is not";
  }
  const wider = BOUNDS.some((name) => exceeds(limits[name], own.limits[name]));
  if (wider) return "have wider limits than yours";
  const isLonger = own.expiresAt !== undefined && (expires_at?.getTime() ?? Infinity) > own.expiresAt;
  return isLonger ? "outlive yours" : undefined;
}

function exceeds(bound: number | null | undefined, own: number | undefined): boolean {
  return own !== undefined && (bound ?? Infinity) > own;
}

/** What a key is given that says nothing of models, limits and time: as much as the one that makes it has. */
export function inherited(
  own: Principal,
  asked: { limits: Granted["limits"]; models?: string[] | undefined },
) {
  const bounds = BOUNDS.flatMap((name) => (own.limits[name] === undefined ? [] : [[name, own.limits[name]]]));
  return {
    models: asked.models ?? own.models?.slice() ?? null,
    limits: { ...(Object.fromEntries(bounds) as Record<string, number>), ...asked.limits },
    expires_at: own.expiresAt === undefined ? null : new Date(own.expiresAt),
  };
}
