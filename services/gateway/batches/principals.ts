import { z } from "zod";
import { hashOf } from "../tenancy/api-key.ts";
import type { Directory } from "../tenancy/directory.ts";
import type { Principal } from "../tenancy/principal.ts";
import { isToken } from "../tenancy/tokens.ts";
import type { BatchWork } from "./work-store.ts";

const BEARER = /^bearer +([\x21-\x7e]+) *$/i;

/** What a token said; the token itself is not kept, and may have expired when the batch runs. */
const tokenGrant = z.object({
  keyId: z.string(),
  project: z.string(),
  permissions: z.array(z.string()),
  models: z.array(z.string()).optional(),
  user: z.string().optional(),
});

/** By what it is found again for whom a batch runs: a key by its hash, a token by what it said. */
export interface Credential {
  /** SHA-256 of the API key; undefined for a token. */
  readonly credential: string | undefined;
  /** What the token said; undefined for an API key. */
  readonly principal: object | undefined;
}

export function toCredential(authorization: string | undefined, principal: Principal): Credential {
  const token = BEARER.exec(authorization ?? "")?.[1] ?? "";
  if (!isToken(token)) return { credential: hashOf(token), principal: undefined };
  return { credential: undefined, principal: tokenGrant.parse(principal) };
}

/** Whom the batch is run for, as the directory has it now; undefined for a key or tenant that is gone. */
export async function findPrincipal(directory: Directory, batch: BatchWork): Promise<Principal | undefined> {
  const principal =
    batch.credential === null ? await ofToken(directory, batch) : await ofKey(directory, batch);
  return principal?.tenant.id === batch.tenant ? principal : undefined;
}

async function ofKey(directory: Directory, { credential }: BatchWork): Promise<Principal | undefined> {
  const principal = await directory.findKey(credential ?? "");
  const isOver = principal?.expiresAt !== undefined && principal.expiresAt <= Date.now();
  return isOver ? undefined : principal;
}

/** A token lives for minutes, a batch for hours: what it permitted when the batch was made holds for all of it. */
async function ofToken(
  directory: Directory,
  { tenant, principal }: BatchWork,
): Promise<Principal | undefined> {
  const { models, user, ...grant } = tokenGrant.parse(principal);
  return directory.findToken({ ...grant, tenant, models, user, expiresAt: Number.MAX_SAFE_INTEGER });
}
