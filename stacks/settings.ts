import path from "node:path";
import { z } from "zod";
import { ROOT } from "../components/shared/source.ts";
import { rolloutSettings } from "../release/contract/strategy.ts";
import { releaseSettings, requireConsistency } from "./release-settings.ts";
import { whole } from "./schema.ts";

export const PROJECT = "llm-platform";
/** Whose keys a stack's configuration may hold: the project's own, Pulumi's, and those of providers. */
const NAMESPACES = [PROJECT, "aws", "docker", "docker-build", "kubernetes", "pulumi"];

const NAME = /^[a-z][a-z0-9-]{0,30}$/;
const NAME_REMEDY = "use lower-case letters, digits and dashes, beginning with a letter, 31 at most";
const COLOR = z.enum(["blue", "green"], { error: 'is no color; use "blue" or "green"' });

const name = z.string({ error: `is missing; ${NAME_REMEDY}` }).regex(NAME, `is no name; ${NAME_REMEDY}`);

const port = whole(0, 65_535, "a port (0 takes any free one)");

/**
 * Where a local environment keeps what outlives a command: the folder that the environment variable PLATFORM_STATE
 * names, absolute or relative to the project. Default: `.platform`.
 */
export function stateFolder(): string {
  return path.resolve(ROOT, process.env.PLATFORM_STATE || ".platform");
}

const common = {
  /** What the stack stands on. */
  target: z.literal("local", { error: 'is unknown; this version runs on "local"' }),
};

const environment = z
  .strictObject({
    kind: z.literal("environment"),
    ...common,
    ...releaseSettings.shape,
    router: z
      .strictObject({
        /** Address that clients use. Default: 127.0.0.1. */
        address: z
          .ipv4("is no IPv4 address; use one of this machine, such as 127.0.0.1")
          .default("127.0.0.1"),
        /** Port that clients use; 0 takes any free one. Default: 8080. */
        port: port.default(8080),
      })
      .prefault({}),
  })
  .superRefine(requireConsistency);

const color = z.strictObject({
  kind: z.literal("color"),
  ...common,
  /** Name of the environment stack that this color belongs to. */
  environment: name,
  color: COLOR,
});

const traffic = z.strictObject({
  kind: z.literal("traffic"),
  ...common,
  /** Name of the environment stack whose traffic this is. */
  environment: name,
  /** How releases move the traffic. Weights are no setting: they stand in the release journal. */
  rollout: rolloutSettings.prefault({}),
});

const settings = z.discriminatedUnion("kind", [environment, color, traffic], {
  error: 'is missing or unknown; use "environment", "color" or "traffic"',
});

export type EnvironmentSettings = z.infer<typeof environment>;
export type ColorSettings = z.infer<typeof color>;
export type TrafficSettings = z.infer<typeof traffic>;
export type Settings = z.infer<typeof settings>;

/** A stack's settings are wrong. The message has a line for every problem. */
export class SettingsError extends Error {
  constructor(stack: string, problems: string[]) {
    super(
      `the settings of stack ${stack} are wrong:\n${problems.map((problem) => `  ${problem}`).join("\n")}`,
    );
    this.name = "SettingsError";
  }
}

/** Configuration values are strings; numbers, booleans, lists and objects are written as JSON. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function describe(issue: z.core.$ZodIssue): string[] {
  const field = issue.path.join(".") || "settings";
  if (issue.code !== "unrecognized_keys") return [`${field}: ${issue.message}`];
  return issue.keys.map((key) => {
    const where = [...issue.path, key].join(".");
    const list = where.startsWith("gateway.") ? "docs/gateway/settings.yaml" : "stacks/settings.ts";
    return `${where}: is no known setting; remove it or correct its spelling (${list} lists all)`;
  });
}

/**
 * Checks the configuration of one stack as a whole.
 * @param config values by full key (`project:name`), as Pulumi keeps them.
 * @throws SettingsError with every problem at once; values are never shown, as they may be secret.
 */
export function parseSettings(stack: string, config: Record<string, string>): Settings {
  const prefix = `${PROJECT}:`;
  const strangers = Object.keys(config).filter((key) => !NAMESPACES.includes(key.split(":")[0] ?? ""));
  const own = Object.entries(config).filter(([key]) => key.startsWith(prefix));
  const values = Object.fromEntries(own.map(([key, text]) => [key.slice(prefix.length), parseValue(text)]));
  const parsed = settings.safeParse(values);
  const problems = [
    ...strangers.map(
      (key) => `${key}: belongs to nothing that is known; did you mean ${prefix}${key.split(":")[1]}?`,
    ),
    ...(parsed.error?.issues.flatMap(describe) ?? []),
  ];
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new SettingsError(stack, problems);
}
