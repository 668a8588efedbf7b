import { z } from "zod";
import { ConfigError, type ConfigProblem, toProblem } from "./config-error.ts";
import { type ContentKeys, contentKeys } from "./content/local-keys.ts";
import { ENV } from "./contract.ts";
import { type FlagDefinitions, problemOfFlag, readFlagDefinitions } from "./flags/definitions.ts";
import { type Credentials, credentialsSchema } from "./providers/settings.ts";
import { problemsOfRouting, type RoutingSurroundings } from "./routing/check.ts";
import { readSettings, type Settings } from "./settings.ts";
import { problemsOfUsers } from "./telemetry/users-check.ts";
import { RESOURCES } from "./tenancy/principal.ts";

const HEX_SHA256 = /^[0-9a-f]{64}$/;
const SENTRY_DSN = /^https?:\/\/[A-Za-z0-9]+@[^/?#\s]+(?:\/[^/?#\s]+)*\/\d+$/;
const TOKEN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const MIN_SECRET_LENGTH = 16;
const LABEL_REMEDY = "use 1 to 63 letters, digits, dots, dashes or underscores";

const httpUrl = z
  .url({ protocol: /^https?$/, error: "is no http(s) URL; use one such as http://127.0.0.1:8000" })
  .refine((value) => !URL.canParse(value) || new URL(value).username === "", {
    error: "carries credentials; put the engine's key into apiKey",
  });

const region = z
  .string({ error: "is no text; name a region" })
  .min(1, "is empty; name a region, or leave it out")
  .max(64, "is too long; use at most 64 characters")
  .optional();

const replica = z.strictObject({
  url: httpUrl,
  /** Where it is. @default its model's region */
  region,
  /** Bearer token that the engine asks for; secret. */
  apiKey: z
    .string()
    .regex(/^[\x21-\x7e]+$/, "holds characters that no header may carry; use printable ASCII without spaces")
    .optional(),
});

const model = z.strictObject({
  name: z
    .string({ error: "is missing; name the model as clients will" })
    .min(1, "is empty; name the model")
    .max(256)
    // Answers name models in their headers.
    .regex(/^[\x20-\x7e]+$/, "holds characters that no header may carry; use printable ASCII"),
  task: z.enum(["chat", "embeddings"], { error: 'is unknown; use "chat" or "embeddings"' }),
  replicas: z.array(replica).min(1, "has no replica; give at least one {url}"),
  /** Where its replicas are. @default what the settings file says of the model, or unknown */
  region,
  /** A boolean flag: the model exists for those for whom it is on. @default it exists for all */
  flag: z.string({ error: "is no text; name a flag" }).optional(),
});

/** What can be read of models with whatever problems. */
const flaggedModels = json(z.array(z.object({ flag: z.unknown().optional() })));

const models = z
  .array(model, { error: 'is no list; use [{"name":…,"task":"chat","replicas":[{"url":…}]}]' })
  .refine((list) => new Set(list.map(({ name }) => name)).size === list.length, {
    error: "names a model twice; give each model one entry with all its replicas",
  })
  .refine((list) => list.some(({ task }) => task === "chat"), {
    error: 'has no chat model; give at least one entry with "task":"chat"',
  });

const FLAG = "is neither true nor false; use one of them without quotes, or leave it out for false";

/** `action:resource`, such as `create:chat`. */
const permission = z
  .string()
  .regex(
    new RegExp(`^(\\*|create|read|write):(\\*|${RESOURCES.join("|")})$`),
    `is no permission; use create, read, write or * with one of ${RESOURCES.join(", ")} or *`,
  );

const key = z.strictObject({
  id: z.string({ error: "is missing; name the key" }).regex(TOKEN, `is no plain name; ${LABEL_REMEDY}`),
  sha256: z
    .string({ error: "is missing; give the SHA-256 of the key" })
    .regex(HEX_SHA256, "is no SHA-256; give 64 lower-case hexadecimal digits"),
  tenant: z
    .string({ error: "is missing; name the tenant" })
    .regex(TOKEN, `is no plain name; ${LABEL_REMEDY}`),
  /** @default "default" */
  project: z.string().regex(TOKEN, `is no plain name; ${LABEL_REMEDY}`).default("default"),
  /** `action:resource`. @default what a tenant's application needs */
  permissions: z.array(permission).optional(),
  /** Names of models, `*` stands for any characters. @default all models */
  models: z.array(z.string().min(1, "is empty; name a model, or use *")).optional(),
  /** Whether it may look at and change all tenants. @default false */
  operator: z.boolean({ error: FLAG }).default(false),
  /** Whether it is for the platform's own checks: counted apart from clients, every flagged model exists. @default false */
  probe: z.boolean({ error: FLAG }).default(false),
});

const keys = z
  .array(key, { error: 'is no list; use [{"id":…,"sha256":…,"tenant":…}]' })
  .min(1, "is empty; give at least one key, or nobody can call the gateway")
  .refine((list) => new Set(list.map(({ sha256 }) => sha256)).size === list.length, {
    error: "holds one hash twice; give each key one entry",
  });

function json<T extends z.ZodType>(schema: T) {
  const parsed = z.string({ error: "is not set; give JSON" }).transform((text, context) => {
    try {
      const value: unknown = JSON.parse(text);
      return value;
    } catch {
      context.addIssue({ code: "custom", message: "is no JSON; check quotes, commas and brackets" });
      return z.NEVER;
    }
  });
  return parsed.pipe(schema);
}

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly default: number;
  readonly integer?: boolean;
}

function number({ min, max, default: fallback, integer = false }: Bounds) {
  const error = `is no ${integer ? "whole number" : "number"} from ${min} to ${max}; give one, or leave it out for ${fallback}`;
  return z
    .string()
    .regex(/^\d+(\.\d+)?$/, error)
    .transform(Number)
    .refine((value) => value >= min && value <= max && (!integer || Number.isInteger(value)), { error })
    .default(fallback);
}

function storeUrl(protocol: RegExp, example: string) {
  return z.url({ protocol, error: `is no such address; use one like ${example}` }).optional();
}

const label = z
  .string({ error: `is not set; ${LABEL_REMEDY}` })
  .regex(TOKEN, `is no plain name; ${LABEL_REMEDY}`);

const secret = z
  .string()
  .min(MIN_SECRET_LENGTH, `is too short; use at least ${MIN_SECRET_LENGTH} random characters`);

const environment = z.object({
  [ENV.host]: z.string().min(1, "is empty; give an address to listen on").default("127.0.0.1"),
  [ENV.port]: number({ min: 0, max: 65_535, default: 0, integer: true }),
  [ENV.color]: label,
  [ENV.release]: label,
  [ENV.releaseLabel]: z.string().max(128, "is too long; use at most 128 characters").default(""),
  [ENV.models]: json(models),
  [ENV.keys]: json(keys),
  [ENV.credentials]: json(credentialsSchema).default({}),
  [ENV.redisUrl]: storeUrl(/^rediss?$/, "redis://127.0.0.1:6379"),
  [ENV.databaseUrl]: storeUrl(/^postgres(ql)?$/, "postgresql://user@127.0.0.1:5432/database"),
  [ENV.journalDir]: z.string().min(1, "is empty; give a folder's path, or leave it out").optional(),
  [ENV.settingsFile]: z.string().min(1, "is empty; give a file's path, or leave it out").optional(),
  [ENV.feedbackKey]: secret.optional(),
  [ENV.contentKeys]: json(contentKeys).optional(),
  [ENV.telemetryKey]: secret.optional(),
  [ENV.sentryDsn]: z.string().regex(SENTRY_DSN, "is no DSN; use one such as https://key@host/1").optional(),
  [ENV.requestTimeoutSeconds]: number({ min: 0.05, max: 3600, default: 30 }),
  [ENV.streamIdleTimeoutSeconds]: number({ min: 0.05, max: 3600, default: 30 }),
  [ENV.keepAliveSeconds]: number({ min: 1, max: 3600, default: 5 }),
  [ENV.drainDelaySeconds]: number({ min: 0, max: 600, default: 0 }),
  [ENV.drainSeconds]: number({ min: 0, max: 3600, default: 30 }),
  [ENV.probeIntervalSeconds]: number({ min: 0.05, max: 60, default: 2 }),
  [ENV.maxBodyBytes]: number({ min: 1024, max: 1_073_741_824, default: 10_485_760, integer: true }),
  [ENV.logLevel]: z
    .enum(["fatal", "error", "warn", "info", "debug", "silent"], {
      error: 'is unknown; use "fatal", "error", "warn", "info", "debug" or "silent"',
    })
    .default("info"),
});

export type ReplicaConfig = z.infer<typeof replica>;
export type ModelConfig = z.infer<typeof model>;
export type KeyConfig = z.infer<typeof key>;

/** How one gateway runs. */
export interface GatewayConfig {
  /** Address to listen on. @default "127.0.0.1" */
  readonly host: string;
  /** Port to listen on; 0 takes any free one. @default 0 */
  readonly port: number;
  readonly color: string;
  readonly release: string;
  readonly releaseLabel: string;
  /** In the order in which clients see them. */
  readonly models: readonly ModelConfig[];
  readonly keys: readonly KeyConfig[];
  /** Secrets by name, for the providers of the settings file; secret. @default none */
  readonly credentials: Credentials;
  /** May hold a password; secret. */
  readonly redisUrl: string | undefined;
  /** May hold a password; secret. */
  readonly databaseUrl: string | undefined;
  /** Signs the tokens by which clients rate answers; the same in both colors; secret. @default no feedback */
  readonly feedbackKey: string | undefined;
  /** Wrap the keys of stored content; the first one wraps, all unwrap; secret. @default no files and batches */
  readonly contentKeys: ContentKeys | undefined;
  /** Hashes users in logs and traces; secret. @default users are never told of */
  readonly telemetryKey: string | undefined;
  /** Where unexpected errors are reported, as Sentry names it; secret. @default nowhere */
  readonly sentryDsn: string | undefined;
  /** Feature flags in flagd's format, as JSON text. @default no flags */
  readonly flags: string | undefined;
  /** Where the settings come from, to read them again when it changes. @default all defaults, which nothing changes */
  readonly settingsFile: string | undefined;
  /** Where settled requests wait for the ledger. @default in memory, which ends with the process */
  readonly journalDir: string | undefined;
  /** What the settings file said at the start. */
  readonly settings: Settings;
  /** Seconds until an answer must be complete, or a stream must have begun. @default 30 */
  readonly requestTimeoutSeconds: number;
  /** Seconds a stream may stand still, for want of tokens or because its client does not read. @default 30 */
  readonly streamIdleTimeoutSeconds: number;
  /** Seconds an idle connection of a client is kept. @default 5 */
  readonly keepAliveSeconds: number;
  /** Seconds the gateway goes on accepting connections after SIGTERM, for load balancers to notice. @default 0 */
  readonly drainDelaySeconds: number;
  /** Seconds requests may take to finish once nothing new is accepted. @default 30 */
  readonly drainSeconds: number;
  /** Seconds between two health probes of replicas and data stores. @default 2 */
  readonly probeIntervalSeconds: number;
  /** Bytes of the largest request body that is read. @default 10485760 */
  readonly maxBodyBytes: number;
  readonly logLevel: string;
}

/**
 * Reads the configuration from environment variables.
 * @throws {ConfigError} naming every variable that cannot be used
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): GatewayConfig {
  const parsed = environment.safeParse(env);
  const flags = readFlagDefinitions(env[ENV.flagsFile], ENV.flagsFile);
  const { settings, problems: settingsProblems } = readSettings(env[ENV.settingsFile], ENV.settingsFile);
  const problems = [
    ...(parsed.error?.issues.map(toProblem) ?? []),
    ...flags.problems,
    ...problemsOfFlags(env[ENV.models], flags),
    ...settingsProblems,
    ...(parsed.success && settings
      ? problemsOfRouting(settings, surroundings(parsed.data), ENV.settingsFile)
      : []),
    ...(settings ? problemsOfUsers(settings, env[ENV.telemetryKey]) : []),
  ];
  if (!parsed.success || !settings || problems.length > 0) throw new ConfigError(problems);
  const { data } = parsed;
  return {
    host: data[ENV.host],
    port: data[ENV.port],
    color: data[ENV.color],
    release: data[ENV.release],
    releaseLabel: data[ENV.releaseLabel],
    models: data[ENV.models],
    keys: data[ENV.keys],
    credentials: data[ENV.credentials],
    redisUrl: data[ENV.redisUrl],
    databaseUrl: data[ENV.databaseUrl],
    feedbackKey: data[ENV.feedbackKey],
    contentKeys: data[ENV.contentKeys],
    telemetryKey: data[ENV.telemetryKey],
    sentryDsn: data[ENV.sentryDsn],
    flags: flags.text,
    settingsFile: data[ENV.settingsFile],
    journalDir: data[ENV.journalDir],
    settings,
    requestTimeoutSeconds: data[ENV.requestTimeoutSeconds],
    streamIdleTimeoutSeconds: data[ENV.streamIdleTimeoutSeconds],
    keepAliveSeconds: data[ENV.keepAliveSeconds],
    drainDelaySeconds: data[ENV.drainDelaySeconds],
    drainSeconds: data[ENV.drainSeconds],
    probeIntervalSeconds: data[ENV.probeIntervalSeconds],
    maxBodyBytes: data[ENV.maxBodyBytes],
    logLevel: data[ENV.logLevel],
  };
}

function surroundings(data: z.infer<typeof environment>): RoutingSurroundings {
  return { models: data[ENV.models], credentials: data[ENV.credentials] };
}

function problemsOfFlags(models: string | undefined, definitions: FlagDefinitions): ConfigProblem[] {
  const list = flaggedModels.safeParse(models).data ?? [];
  return list.flatMap(({ flag }, index) => {
    const problem = typeof flag === "string" ? problemOfFlag(flag, definitions) : undefined;
    return problem ? [{ field: `${ENV.models}[${index}].flag`, ...problem }] : [];
  });
}
