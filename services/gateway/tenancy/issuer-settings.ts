import { z } from "zod";
import { permission, plainName } from "./names.ts";

/** Signatures by a private key alone: with a shared secret, or with none, whoever checks a token could make one. */
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;

const text = z.string({ error: "is missing; give a text" }).min(1, "is empty; give a text");

/** Where a claim stands in a token: its name, or the names on the way to it. */
const claim = z.union([text, z.array(text).min(1)], {
  error: 'is no claim; give its name, or the way to it such as ["realm_access","roles"]',
});

/** Who signs tokens that stand for callers, and what their claims mean. */
const issuer = z.strictObject({
  /** Names the issuer in logs and ids; never in tokens. */
  id: plainName,
  /** The `iss` of its tokens, to the letter. */
  issuer: text,
  /** The `aud` that a token must name, or several of which it must name one. */
  audience: z.union([text, z.array(text).min(1)], {
    error: "is missing; give the audience that its tokens name, or a list",
  }),
  /** Where its public keys are. */
  jwksUrl: z.url({
    protocol: /^https?$/,
    error: "is no http(s) URL; use one such as https://login.example.com/keys",
  }),
  /** @default RS256, ES256, EdDSA */
  algorithms: z
    .array(z.enum(ALGORITHMS, { error: `is none that can be trusted; use ${ALGORITHMS.join(", ")}` }))
    .min(1, "is empty; name at least one")
    .default(["RS256", "ES256", "EdDSA"]),
  /** The one tenant that its tokens are for. Set it where a tenant brings its own issuer. @default what they claim */
  tenant: plainName.optional(),
  /** What a token may do that carries no permissions. @default what a tenant's application needs */
  permissions: z.array(permission).optional(),
  /** Seconds that its clock may differ from ours. @default 5 */
  clockToleranceSeconds: z
    .number()
    .min(0)
    .max(300, "is no number from 0 to 300; give seconds, or leave it out for 5")
    .default(5),
  /** Which claims hold what. */
  claims: z
    .strictObject({
      tenant: claim.default("tenant"),
      project: claim.default("project"),
      /** A list, or a text with spaces between, as in `scope`; what is no permission of ours is passed over. */
      permissions: claim.default("permissions"),
      /** Names of models, as a list or a text with spaces between. */
      models: claim.default("models"),
      user: claim.default("sub"),
    })
    .prefault({}),
});

/** How callers are recognised. */
export const authSettings = z
  .strictObject({
    /** Seconds that known keys go on working while the database is away. @default 300 */
    staleSeconds: z
      .number()
      .min(0)
      .max(86_400, "is no number from 0 to 86400; give seconds, or leave it out for 300")
      .default(300),
    /** Seconds between two notes of when a key was last used. @default 60 */
    lastUsedSeconds: z
      .number()
      .min(1)
      .max(86_400, "is no number from 1 to 86400; give seconds, or leave it out for 60")
      .default(60),
    issuers: z
      .array(issuer, { error: "is no list; give issuers with id, issuer, audience and jwksUrl" })
      .refine((list) => new Set(list.map((one) => one.issuer)).size === list.length, {
        error: "names an issuer twice; give each one entry",
      })
      .refine((list) => new Set(list.map(({ id }) => id)).size === list.length, {
        error: "uses an id twice; give each issuer its own",
      })
      .default([]),
  })
  .prefault({});

export type IssuerSettings = z.infer<typeof issuer>;
