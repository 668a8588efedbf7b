import { z } from "zod";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const PLAIN = "is no plain name; use 1 to 63 letters, digits, dots, dashes or underscores";

const entry = z
  .strictObject({
    /** How it is spoken to: OpenAI's API, or Anthropic's Messages API. */
    kind: z.enum(["openai", "anthropic"], { error: 'is unknown; use "openai" or "anthropic"' }),
    /** Where its API lives, with or without a trailing /v1. */
    baseUrl: z
      .url({ protocol: /^https?$/, error: "is no http(s) URL; use one such as https://api.openai.com/v1" })
      .refine((value) => !URL.canParse(value) || new URL(value).username === "", {
        error: "carries credentials; name one of GATEWAY_CREDENTIALS in credential instead",
      }),
    /** Which of GATEWAY_CREDENTIALS it asks for. @default none */
    credential: z.string({ error: "is no text; name a credential" }).regex(NAME, PLAIN).optional(),
    /** Where it works. @default unknown: tenants with a residency rule are never answered by it */
    region: z
      .string({ error: "is no text; name a region" })
      .min(1, "is empty; name a region")
      .max(64)
      .optional(),
  })
  .refine(({ kind, credential }) => kind !== "anthropic" || credential !== undefined, {
    path: ["credential"],
    error: "is missing; name one of GATEWAY_CREDENTIALS, without which this API answers nobody",
  });

/** Services of others that answer for models, by a name of their own. */
export const providersSettings = z
  .record(z.string().regex(NAME, PLAIN), entry, { error: "is no map; give providers by name" })
  .default({});

/** Secrets by name, as GATEWAY_CREDENTIALS holds them. */
export const credentialsSchema = z.record(
  z.string().regex(NAME, PLAIN),
  z
    .string({ error: "is no text; give the secret as text" })
    .regex(/^[\x21-\x7e]+$/, "holds characters that no header may carry; use printable ASCII without spaces"),
  { error: 'is no map; use {"name":"secret"}' },
);

export type ProviderEntry = z.infer<typeof entry>;
export type Credentials = z.infer<typeof credentialsSchema>;
