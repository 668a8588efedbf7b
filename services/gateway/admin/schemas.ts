import { z } from "zod";
import { permission, plainName } from "../tenancy/names.ts";
import { SENSITIVITIES, TIERS } from "../tenancy/principal.ts";

// Messages go to clients as they are: `'tier' must be …`.

const id = plainName.meta({ description: "1 to 63 letters, digits, dots, dashes or underscores." });

/** Text of people for people. */
const name = z
  .string({ error: "must be a string" })
  .max(128, "must be at most 128 characters")
  .regex(/^\P{C}*$/u, "must hold no control characters");

const bound = z
  .int({ error: "must be a whole number above 0, or null for no bound" })
  .min(1, "must be above 0")
  .max(2_147_483_647, "must be below 2147483648")
  .nullable();

const usd = z
  .number({ error: "must be US dollars above 0, or null for no bound" })
  .positive("must be above 0")
  .max(1_000_000_000, "must be at most 1000000000")
  .nullable();

const limits = z
  .strictObject({ requestsPerMinute: bound, tokensPerMinute: bound, concurrency: bound })
  .partial()
  .meta({ id: "Limits", description: "What is left out is as the tier has it; null bounds nothing." });

const budget = z
  .strictObject({ hourlyUsd: usd, dailyUsd: usd })
  .partial()
  .meta({ id: "Budget", description: "What is left out, or null, bounds nothing." });

const tenantFields = {
  name: name.meta({ description: "For people." }),
  tier: z.enum(TIERS, { error: `must be one of ${TIERS.join(", ")}` }),
  region: id.nullable().meta({ description: "Whose residency rule holds; null for none." }),
  sensitivity: z.enum(SENSITIVITIES, { error: `must be one of ${SENSITIVITIES.join(", ")}` }),
  limits,
  budget,
};

const version = z.int({ error: "must be the version that was read: a whole number" });
const disabled = z.boolean({ error: "must be true or false" });

export const createTenantRequest = z
  .strictObject({
    id,
    name: tenantFields.name.default(""),
    tier: tenantFields.tier.default("bronze"),
    region: tenantFields.region.default(null),
    sensitivity: tenantFields.sensitivity.default("medium"),
    limits: limits.default({}),
    budget: budget.default({}),
  })
  .meta({ id: "CreateTenantRequest" });

export const updateTenantRequest = z
  .strictObject({ version, ...z.strictObject({ ...tenantFields, disabled }).partial().shape })
  .meta({
    id: "UpdateTenantRequest",
    description: "What is left out stays; limits and budget are replaced whole.",
  });

export const createProjectRequest = z
  .strictObject({ id, name: name.default("") })
  .meta({ id: "CreateProjectRequest" });

export const updateProjectRequest = z
  .strictObject({ version, name: name.optional(), disabled: disabled.optional() })
  .meta({ id: "UpdateProjectRequest" });

const time = z.iso.datetime({ offset: true, error: "must be a time such as 2030-01-31T12:00:00Z" });

const models = z
  .array(
    z
      .string({ error: "must be a string" })
      .min(1, "must not be empty")
      .max(256, "must be at most 256 characters")
      .regex(/^\P{C}*$/u, "must hold no control characters"),
  )
  .max(100, "must hold at most 100 names")
  .meta({ description: "Names of models; * stands for any characters." });

export const createKeyRequest = z
  .strictObject({
    name: name.default(""),
    project: id.default("default"),
    permissions: z
      .array(permission, { error: 'must be a list such as ["create:chat"]' })
      .max(50, "must hold at most 50 permissions")
      .optional()
      .meta({ description: "action:resource; default: what a tenant's application needs." }),
    models: models.optional(),
    limits: limits.default({}).meta({ description: "Of this key alone, beside its tenant's." }),
    expiresAt: time.nullish().meta({ description: "Default: as long as the key that makes it." }),
    operator: z
      .boolean({ error: "must be true or false" })
      .default(false)
      .meta({ description: "Whether it acts for all tenants; only such a key can make one." }),
  })
  .meta({ id: "CreateKeyRequest" });

export const rotateKeyRequest = z
  .strictObject({
    overlapSeconds: z
      .int({ error: "must be whole seconds" })
      .min(0, "must not be negative")
      .max(2_592_000, "must be at most 2592000 (30 days)")
      .default(86_400)
      .meta({ description: "How long the old key goes on working." }),
    expiresAt: time.nullish().meta({ description: "Of the successor; default: as the old key." }),
  })
  .meta({ id: "RotateKeyRequest" });

const listed = {
  limit: z.coerce
    .number({ error: "must be a number from 1 to 100" })
    .int("must be a whole number")
    .min(1, "must be at least 1")
    .max(100, "must be at most 100")
    .default(20),
};

export const pageQuery = z.strictObject({ ...listed, after: plainName.optional() });

export const auditQuery = z.strictObject({
  ...listed,
  after: z
    .string()
    .regex(/^[\w-]{1,200}$/, "must be the `next` of a page before")
    .optional(),
  tenant: id.optional(),
  key: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,128}$/, "must be the id of a key")
    .optional(),
  action: permission.optional(),
  status: z.coerce
    .number({ error: "must be an HTTP status" })
    .int()
    .min(100, "must be an HTTP status")
    .max(599, "must be an HTTP status")
    .optional(),
  from: time.optional(),
  to: time.optional(),
});

const stamp = z.string().meta({ format: "date-time" });
const state = { createdAt: stamp, updatedAt: stamp, version: z.int(), disabled: z.boolean() };

export const tenantObject = z
  .object({
    object: z.literal("tenant"),
    id: z.string(),
    ...tenantFields,
    ...state,
    createdAt: stamp.nullable(),
    updatedAt: stamp.nullable(),
    source: z
      .enum(["database", "settings"])
      .meta({ description: "Tenants of the settings file are changed there." }),
  })
  .meta({ id: "Tenant" });

export const projectObject = z
  .object({ object: z.literal("project"), id: z.string(), tenant: z.string(), name: z.string(), ...state })
  .meta({ id: "Project" });

const keyFields = {
  object: z.literal("key"),
  id: z.string(),
  name: z.string(),
  hint: z.string().meta({ description: "The key's last four characters." }),
  tenant: z.string(),
  project: z.string(),
  permissions: z.array(z.string()),
  models: z.array(z.string()).nullable(),
  limits,
  operator: z.boolean(),
  status: z.enum(["active", "expired", "revoked"]),
  createdAt: stamp,
  createdBy: z.string().meta({ description: "Id of the key that made it." }),
  expiresAt: stamp.nullable(),
  revokedAt: stamp.nullable(),
  lastUsedAt: stamp.nullable().meta({ description: "To about a minute." }),
  successor: z.string().nullable().meta({ description: "Id of the key that it was rotated to." }),
};

export const keyObject = z.object(keyFields).meta({ id: "Key" });

export const freshKeyObject = z
  .object({ ...keyFields, secret: z.string().meta({ description: "The key itself; shown this once." }) })
  .meta({ id: "FreshKey" });

export const accessObject = z
  .object({
    object: z.literal("access"),
    id: z.string(),
    at: stamp,
    tenant: z.string().nullable(),
    project: z.string().nullable(),
    key: z.string().nullable(),
    action: z.string().nullable(),
    target: z.string().nullable(),
    endpoint: z.string(),
    status: z.int(),
    requestId: z.string(),
    release: z.string(),
    count: z.int().meta({ description: "How many refusals alike one entry stands for." }),
  })
  .meta({ id: "Access" });

/** Part of a list, with where the next part begins. */
export function listOf<T extends z.ZodType>(id: string, entry: T) {
  const next = z.string().nullable().meta({ description: "Give it as `after` for the next page." });
  return z.object({ object: z.literal("list"), data: z.array(entry), next }).meta({ id });
}
