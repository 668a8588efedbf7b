/** Service levels of tenants. */
export const TIERS = ["bronze", "silver", "gold"] as const;
export type Tier = (typeof TIERS)[number];

/** How confidential what a tenant sends is; decides which backends may see it. */
export const SENSITIVITIES = ["low", "medium", "high"] as const;
export type Sensitivity = (typeof SENSITIVITIES)[number];

/** Bounds of one subject (a tenant or a key); undefined bounds nothing. */
export interface Limits {
  readonly requestsPerMinute: number | undefined;
  readonly tokensPerMinute: number | undefined;
  /** Requests that may be under way at the same time. */
  readonly concurrency: number | undefined;
}

/** What a tenant may spend, in USD; undefined bounds nothing. */
export interface Budget {
  readonly hourlyUsd: number | undefined;
  readonly dailyUsd: number | undefined;
}

/** A tenant with all defaults filled in. */
export interface Tenant {
  readonly id: string;
  readonly tier: Tier;
  /** Region whose residency rule holds for its data; undefined for no rule. */
  readonly region: string | undefined;
  /** What its requests are taken for unless they say more. */
  readonly sensitivity: Sensitivity;
  readonly limits: Limits;
  readonly budget: Budget;
}

/** Who asks: what a key or a token stands for. The same object for every request with it, until it changes. */
export interface Principal {
  /** Id of the key, or of the token's issuer and subject. Never secret. */
  readonly keyId: string;
  readonly tenant: Tenant;
  readonly project: string;
  /** Bounds of this key alone, beside its tenant's. */
  readonly limits: Limits;
  /** `action:resource`, either of them may be `*`. */
  readonly permissions: readonly string[];
  /** Names of models, `*` stands for any characters; undefined for all models. */
  readonly models: readonly string[] | undefined;
  /** Milliseconds since 1970 from when on it is worthless; undefined for never. */
  readonly expiresAt: number | undefined;
  /** What the token calls its user; undefined for keys, whose user the client names. */
  readonly user?: string | undefined;
  /** Whether it may look at and change all tenants. */
  readonly operator: boolean;
  /** Whether it is for the platform's own checks: counted apart, without limits, every flagged model exists. */
  readonly probe: boolean;
}

/** What a permission can be about. */
export const RESOURCES = [
  "chat",
  "completions",
  "embeddings",
  "models",
  "feedback",
  "files",
  "batches",
  "tenants",
  "projects",
  "keys",
  "costs",
  "audit",
] as const;
export type Resource = (typeof RESOURCES)[number];

export type Action = "create" | "read" | "write";

/** What a key may do that is given no permissions: everything that a tenant's application needs. */
export const DEFAULT_PERMISSIONS: readonly string[] = [
  "create:chat",
  "create:completions",
  "create:embeddings",
  "read:models",
  "create:feedback",
  "*:files",
  "*:batches",
];
