import { z } from "zod";
import { problemsOfRouting } from "../services/gateway/routing/check.ts";
import { settingsSchema } from "../services/gateway/settings.ts";
import { whole } from "./schema.ts";

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
const milliseconds = whole(0, 600_000, "milliseconds");

const modelIdentity = {
  /** As clients name the model in their requests. */
  name: z
    .string({ error: "is missing; name the model as clients will" })
    .min(1, "is empty; name the model as clients will")
    .max(256, "is too long; use at most 256 characters"),
  /** What the model does. Default: chat. */
  task: z.enum(["chat", "embeddings"], { error: 'is unknown; use "chat" or "embeddings"' }).default("chat"),
  /** Key of the boolean feature flag that decides for whom the model is there. Default: it is there for all. */
  flag: z.string().min(1, "is empty; name a flag, or leave it out").optional(),
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
  /** Usual length of an answer in tokens. Default: the simulator's. */
  answerTokens: whole(1, 100_000, "tokens").optional(),
  /** What goes wrong, to rehearse a bad release, in the simulator's words: `status=500`, `delay=4000`. Default: nothing. */
  fault: z.string().min(1, "is empty; give a fault, or leave it out").optional(),
  /** Share of the requests that the fault hits, from 0 to 1. Default: all. */
  faultRate: z
    .number({ error: "is no number; give a share from 0 to 1" })
    .min(0, "is below 0; give a share from 0 to 1")
    .max(1, "is above 1; give a share from 0 to 1")
    .optional(),
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
  /** What the servers serve, by content: a commit of the weights, for instance. Tells releases apart. Default: unknown. */
  revision: z.string().min(1, "is empty; give a revision, or leave it out").optional(),
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

const VARIANT = "is no name of a variant; use one of those in variants";

/** A feature flag in the format of flagd: https://flagd.dev/reference/flag-definitions/ */
const flag = z
  .strictObject({
    state: z.enum(["ENABLED", "DISABLED"], { error: 'is unknown; use "ENABLED" or "DISABLED"' }),
    /** Values by name. */
    variants: z.record(z.string(), z.union([z.boolean(), z.string(), z.number(), z.json()])),
    defaultVariant: z.string({ error: `is missing; ${VARIANT}` }),
    /** JsonLogic, with flagd's own `fractional` for a percentage of the users. Default: the default variant for all. */
    targeting: z.record(z.string(), z.json()).optional(),
    metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  })
  .refine(({ variants, defaultVariant }) => Object.hasOwn(variants, defaultVariant), {
    path: ["defaultVariant"],
    error: VARIANT,
  });

/** Kept as it is written: the gateway fills in its own defaults when it reads it. */
const gateway = z
  .record(z.string(), z.json(), { error: "is no map; give sections such as limits, models and cost" })
  .default({})
  .superRefine((value, context) => {
    for (const issue of settingsSchema.safeParse(value).error?.issues ?? []) {
      context.addIssue({ ...issue } as Parameters<typeof context.addIssue>[0]);
    }
  });

/** What a release carries beside code and prompts, as the environment's settings say it. */
export const releaseSettings = z.strictObject({
  models,
  /** Feature flags by key. A model with a `flag` is there only for users for whom it is on. Default: none. */
  flags: z.record(z.string(), flag, { error: "is no map; give flags by key" }).default({}),
  /** Settings of the gateway: tenants, limits, routing, cost and so on. Default: the gateway's. */
  gateway,
  /**
   * Names of the environment variables that hold the credentials of providers, by the names that the gateway's settings
   * call them. Default: none.
   */
  credentials: z
    .record(
      z.string(),
      z
        .string()
        .regex(VARIABLE, "is no name of an environment variable; use letters, digits and underscores")
        .refine((variable) => Boolean(process.env[variable]), {
          error: ({ input }) =>
            `names the environment variable ${input}, which is not set; set it to the credential`,
        }),
      { error: "is no map; give names of environment variables by credential" },
    )
    .default({}),
});

export type ModelSettings = z.infer<typeof model>;
export type ReleaseSettings = z.infer<typeof releaseSettings>;

/** What settings of a release say of each other must fit: the gateway would refuse them, and only once it starts. */
export function requireConsistency(settings: ReleaseSettings, context: z.RefinementCtx): void {
  requireFlags(settings, context);
  const gateway = settingsSchema.safeParse(settings.gateway).data;
  if (!gateway) return;
  const { models, credentials } = settings;
  for (const { field, problem, remedy } of problemsOfRouting(gateway, { models, credentials }, "gateway")) {
    context.addIssue({ code: "custom", path: field.split("."), message: `${problem}; ${remedy}` });
  }
}

/** Every flag that a model names must be there, and be on or off. */
function requireFlags({ models: list, flags }: ReleaseSettings, context: z.RefinementCtx): void {
  for (const [index, { flag: key }] of list.entries()) {
    if (key === undefined) continue;
    const variants = flags[key]?.variants;
    const isBoolean = variants && Object.values(variants).every((value) => typeof value === "boolean");
    if (isBoolean) continue;
    const problem = variants
      ? "names a flag that is not true or false in every variant"
      : "names a flag that does not exist";
    context.addIssue({
      code: "custom",
      path: ["models", index, "flag"],
      message: `${problem}; add it to flags, or correct it there`,
    });
  }
}

/** The settings of the release among an environment's. */
export function releaseIn({ models, flags, gateway, credentials }: ReleaseSettings): ReleaseSettings {
  return { models, flags, gateway, credentials };
}
