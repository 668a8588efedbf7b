import path from "node:path";
import { z } from "zod";
import { ROOT } from "../components/shared/source.ts";

export const PROJECT = "llm-platform";
/** Whose keys a stack's configuration may hold: the project's own, Pulumi's, and those of providers. */
const NAMESPACES = [PROJECT, "aws", "docker", "docker-build", "kubernetes", "pulumi"];

const NAME = /^[a-z][a-z0-9-]{0,30}$/;
const NAME_REMEDY = "use lower-case letters, digits and dashes, beginning with a letter, 31 at most";
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const COLOR = z.enum(["blue", "green"], { error: 'is no color; use "blue" or "green"' });

const name = z.string({ error: `is missing; ${NAME_REMEDY}` }).regex(NAME, `is no name; ${NAME_REMEDY}`);

const whole = (min: number, max: number, what: string) =>
  z
    .int({ error: `is no whole number; give ${what} from ${min} to ${max}` })
    .min(min, {
      error: `is below ${min}; give ${what} from ${min} to ${max}`,
    })
    .max(max, { error: `is above ${max}; give ${what} from ${min} to ${max}` });

const port = whole(0, 65_535, "a port (0 takes any free one)");
const milliseconds = whole(0, 600_000, "milliseconds");
const percent = whole(0, 100, "percent");

/**
 * Where a local environment keeps what outlives a command: the folder that the environment variable PLATFORM_STATE
 * names, absolute or relative to the project. Default: `.platform`.
 */
export function stateFolder(): string {
  return path.resolve(ROOT, process.env.PLATFORM_STATE || ".platform");
}

const modelIdentity = {
  /** As clients name the model in their requests. */
  name: z
    .string({ error: "is missing; name the model as clients will" })
    .min(1, "is empty; name the model as clients will")
    .max(256, "is too long; use at most 256 characters"),
  /** What the model does. Default: chat. */
  task: z.enum(["chat", "embeddings"], { error: 'is unknown; use "chat" or "embeddings"' }).default("chat"),
};

const simulatedModel = z.strictObject({
  ...modelIdentity,
  /** Processes that serve the model. Default: 1. */
  replicas: whole(1, 16, "processes").default(1),
  /** Milliseconds until an answer's first token. Default: the simulator's. */
  timeToFirstTokenMs: milliseconds.optional(),
  /** Milliseconds for every further token. Default: the simulator's. */
  timePerOutputTokenMs: milliseconds.optional(),
  /** Requests that one process works on at the same time. Default: the simulator's. */
  maxNumSeqs: whole(1, 4096, "requests").optional(),
});

const externalModel = z.strictObject({
  ...modelIdentity,
  /** Base URLs, without `/v1`, of servers of OpenAI's API that run already: one per replica. */
  urls: z
    .array(z.url({ protocol: /^https?$/, error: "is no http(s) URL; use one such as http://127.0.0.1:8000" }))
    .min(1, "is empty; give at least one URL"),
  /** Name of the environment variable that holds the bearer token these servers ask for. Default: no token. */
  apiKeyVariable: z
    .string()
    .regex(VARIABLE, "is no name of an environment variable; use letters, digits and underscores")
    .refine((variable) => Boolean(process.env[variable]), {
      error: ({ input }) => `names the environment variable ${input}, which is not set; set it to the token`,
    })
    .optional(),
});

/** A model is simulated unless it names the URLs of servers that run already. */
const model = z.union([externalModel, simulatedModel]);

const models = z
  .array(z.unknown(), {
    error: ({ input }) => `is ${input === undefined ? "missing" : "no list"}; give a list of models`,
  })
  .transform((list, context) =>
    list.map((entry, index) => {
      // Judging by `urls` first gives errors about the kind that was meant, not about both.
      const isExternal = typeof entry === "object" && entry !== null && "urls" in entry;
      const parsed = (isExternal ? externalModel : simulatedModel).safeParse(entry);
      if (parsed.success) return parsed.data as z.infer<typeof model>;
      for (const issue of parsed.error.issues) {
        context.addIssue({ ...issue, path: [index, ...issue.path] } as Parameters<
          typeof context.addIssue
        >[0]);
      }
      return z.NEVER;
    }),
  )
  .refine((list) => list.some(({ task }) => task === "chat"), 'has no chat model; add one with task "chat"')
  .refine(
    (list) => new Set(list.map((entry) => slugOf(entry.name))).size === list.length,
    "has two models whose names are the same but for punctuation and case; give each model one entry, or rename one",
  );

/** A model's name as it can be part of a resource's name. */
export function slugOf(model: string): string {
  return model.replaceAll(/[^A-Za-z0-9]+/g, "-").toLowerCase();
}

const common = {
  /** What the stack stands on. */
  target: z.literal("local", { error: 'is unknown; this version runs on "local"' }),
};

const environment = z.strictObject({
  kind: z.literal("environment"),
  ...common,
  router: z
    .strictObject({
      /** Address that clients use. Default: 127.0.0.1. */
      address: z.ipv4("is no IPv4 address; use one of this machine, such as 127.0.0.1").default("127.0.0.1"),
      /** Port that clients use; 0 takes any free one. Default: 8080. */
      port: port.default(8080),
    })
    .prefault({}),
});

const color = z.strictObject({
  kind: z.literal("color"),
  ...common,
  /** Name of the environment stack that this color belongs to. */
  environment: name,
  color: COLOR,
  models,
  /** What people call the release. Default: none. */
  releaseLabel: z.coerce.string().max(128, "is too long; use at most 128 characters").optional(),
});

const traffic = z.strictObject({
  kind: z.literal("traffic"),
  ...common,
  /** Name of the environment stack whose traffic this is. */
  environment: name,
  /** Percent of the traffic for each color. Default: all to blue. */
  weights: z
    .strictObject({ blue: percent.default(0), green: percent.default(0) })
    .default({ blue: 100, green: 0 })
    .refine(
      ({ blue, green }) => blue + green === 100,
      "do not add up to 100; share 100 percent among the colors",
    ),
});

const settings = z.discriminatedUnion("kind", [environment, color, traffic], {
  error: 'is missing or unknown; use "environment", "color" or "traffic"',
});

export type EnvironmentSettings = z.infer<typeof environment>;
export type ColorSettings = z.infer<typeof color>;
export type TrafficSettings = z.infer<typeof traffic>;
export type ModelSettings = z.infer<typeof model>;
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
    return `${where}: is no known setting; remove it or correct its spelling (stacks/settings.ts lists all)`;
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
