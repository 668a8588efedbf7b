import { z } from "zod";

const part = z.strictObject({
  /** Path below the release's folder. */
  file: z.string(),
  sha256: z.string(),
});

/** What a release is made of. Its id is the digest of all this. */
export const manifest = z.strictObject({
  /** Format of this file. */
  version: z.literal(1),
  /** Everything that it carries, by what it is: `gateway`, `prompts/<name>`, `flags`, `configuration` … */
  parts: z.record(z.string(), part),
  /** Names of the models with what decides their answers: digest of a simulator's code, revision of weights. */
  models: z.array(z.strictObject({ name: z.string(), revision: z.string() })),
});
export type Manifest = z.infer<typeof manifest>;
