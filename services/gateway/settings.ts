import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";
import { batchesSettings } from "./batches/settings.ts";
import { type ConfigProblem, toProblem } from "./config-error.ts";
import { costSettings } from "./cost/settings.ts";
import { limitsSettings } from "./limits/settings.ts";
import { providersSettings } from "./providers/settings.ts";
import { queueSettings } from "./queue/settings.ts";
import { resilienceSettings } from "./resilience/settings.ts";
import { affinitySettings, modelsSettings, residencySettings, routingSettings } from "./routing/settings.ts";
import { telemetrySettings } from "./telemetry/settings.ts";
import { authSettings } from "./tenancy/issuer-settings.ts";
import { tenantsSettings } from "./tenancy/settings.ts";

/** Everything that one gateway's settings file may hold; an empty file means all defaults. */
export const settingsSchema = z.strictObject(
  {
    auth: authSettings,
    tenants: tenantsSettings,
    limits: limitsSettings,
    models: modelsSettings,
    providers: providersSettings,
    routing: routingSettings,
    affinity: affinitySettings,
    residency: residencySettings,
    resilience: resilienceSettings,
    queue: queueSettings,
    cost: costSettings,
    telemetry: telemetrySettings,
    batches: batchesSettings,
  },
  { error: "holds no map; give sections such as limits, models and cost" },
);

/** The settings of a gateway at one moment; a reload replaces them as a whole. */
export type Settings = z.infer<typeof settingsSchema>;

/** What a settings file says, as far as it can be used. */
export interface ReadSettings {
  /** Undefined where there is a problem. */
  readonly settings: Settings | undefined;
  readonly problems: readonly ConfigProblem[];
}

/**
 * Reads a settings file, YAML or JSON, with every problem at once.
 * @param path undefined for all defaults
 * @param field what the problems name the file
 */
export function readSettings(path: string | undefined, field: string): ReadSettings {
  if (path === undefined) return { settings: settingsSchema.parse({}), problems: [] };
  const unusable = (problem: string, remedy: string): ReadSettings => ({
    settings: undefined,
    problems: [{ field, problem, remedy }],
  });
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return unusable("cannot be read", "give the path of a file that the gateway may read");
  }
  return parseSettings(text, field);
}

/** What a settings file's text says. */
export function parseSettings(text: string, field: string): ReadSettings {
  let value: unknown;
  try {
    value = parse(text);
  } catch {
    const problem = { field, problem: "is neither YAML nor JSON", remedy: "check indents and quotes" };
    return { settings: undefined, problems: [problem] };
  }
  const parsed = settingsSchema.safeParse(value ?? {});
  if (parsed.success) return { settings: parsed.data, problems: [] };
  const problems = parsed.error.issues.map((issue) =>
    toProblem({ ...issue, path: [field, ...issue.path] } as z.core.$ZodIssue),
  );
  return { settings: undefined, problems };
}
