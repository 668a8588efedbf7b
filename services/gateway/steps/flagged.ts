import { USER_ID_HEADER } from "../contract.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import type { Target } from "../routing/targets.ts";

const MAX_USER_ID_LENGTH = 256;

/** Whether the model exists for this user; at once where no flag decides it, and for a probe, as if it were on. */
export function isThere(
  { flag }: Pick<Target, "flag">,
  exchange: Exchange,
  { flags, config }: Gateway,
): boolean | Promise<boolean> {
  const { principal, isProbe } = exchange;
  if (flag === undefined || isProbe) return true;
  const { color, release } = config;
  const caller = { keyId: principal?.keyId ?? "", tenant: principal?.tenant.id ?? "" };
  return flags?.isOn(flag, { targetingKey: userOf(exchange), ...caller, color, release }) ?? false;
}

/** Who asks: the user, or else the key. */
export function userOf(exchange: Exchange): string {
  return namedUser(exchange) ?? exchange.principal?.keyId ?? "";
}

/** The user that the caller's token vouches for, or else the one that the client names; undefined where neither does. */
export function namedUser({ request, principal }: Exchange): string | undefined {
  if (principal?.user !== undefined) return principal.user;
  const given = request.headers[USER_ID_HEADER];
  const isUser = typeof given === "string" && given !== "" && given.length <= MAX_USER_ID_LENGTH;
  return isUser ? given : undefined;
}
