import { USER_ID_HEADER } from "../contract.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import type { Model } from "../upstream/models.ts";

const MAX_USER_ID_LENGTH = 256;

/** Whether the model exists for this user; at once where no flag decides it, and for a probe, as if it were on. */
export function isThere(
  { flag }: Model,
  { request, key, isProbe }: Exchange,
  { flags, config }: Gateway,
): boolean | Promise<boolean> {
  if (flag === undefined || isProbe) return true;
  const { color, release } = config;
  const keyId = key?.id ?? "";
  const given = request.headers[USER_ID_HEADER];
  const isUser = typeof given === "string" && given !== "" && given.length <= MAX_USER_ID_LENGTH;
  const user = { targetingKey: isUser ? given : keyId, keyId, tenant: key?.tenant ?? "", color, release };
  return flags?.isOn(flag, user) ?? false;
}
