import type { ConfigProblem } from "../config-error.ts";
import { ENV } from "../contract.ts";
import type { Settings } from "../settings.ts";

/** What is wrong with telling of users: without a key their hashes could not be made. */
export function problemsOfUsers(
  { telemetry }: Pick<Settings, "telemetry">,
  key: string | undefined,
): ConfigProblem[] {
  if (!telemetry.users || key !== undefined) return [];
  const remedy = "give a key, or leave telemetry.users out";
  return [{ field: ENV.telemetryKey, problem: "is not set, though users are to be told of", remedy }];
}
