import { hash } from "node:crypto";
import { decodeJwt, errors, type JWTPayload, jwtVerify } from "jose";
import { ApiError } from "../api/errors.ts";
import type { IssuerSettings } from "./issuer-settings.ts";
import { KeySet } from "./key-set.ts";
import { isPermission, PLAIN_NAME } from "./names.ts";
import { DEFAULT_PERMISSIONS } from "./principal.ts";

const FORM = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const SUBJECT_LENGTH = 16;
const MAX_USER_LENGTH = 256;
const MAX_LIST = 100;
/** Signatures that are checked at the same time; more would only wait. */
const MAX_UNDER_WAY = 256;

/** What a token says whose signature is right. */
export interface VerifiedToken {
  /** The issuer's id and a digest of the subject, who may be a person. */
  readonly keyId: string;
  readonly tenant: string;
  readonly project: string;
  readonly permissions: readonly string[];
  readonly models: readonly string[] | undefined;
  readonly user: string | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Whether it has the form of a token rather than of a key. */
export function isToken(text: string): boolean {
  return FORM.test(text);
}

/** Checks tokens of the issuers that the settings name. */
export class TokenVerifier {
  readonly #issuers: ReadonlyMap<string, { settings: IssuerSettings; keys: KeySet }>;
  #underWay = 0;

  /** @param before whose keys are kept for issuers that stay where they are */
  constructor(issuers: readonly IssuerSettings[], before?: TokenVerifier) {
    this.#issuers = new Map(
      issuers.map((settings) => {
        const keys = before?.keysAt(settings.jwksUrl) ?? new KeySet(settings.jwksUrl);
        return [settings.issuer, { settings, keys }];
      }),
    );
  }

  /** The keys at that address, if they are known. */
  keysAt(url: string): KeySet | undefined {
    return [...this.#issuers.values()].find(({ settings }) => settings.jwksUrl === url)?.keys;
  }

  get hasIssuers(): boolean {
    return this.#issuers.size > 0;
  }

  /**
   * What the token says; undefined for one that is worth nothing.
   * @throws {ApiError} `unavailable` where its issuer's keys were never seen
   */
  async verify(token: string): Promise<VerifiedToken | undefined> {
    const issuer = this.#issuers.get(claimedIssuer(token) ?? "");
    if (!issuer) return undefined;
    if (this.#underWay >= MAX_UNDER_WAY) throw new ApiError("unavailable");
    this.#underWay += 1;
    const { settings, keys } = issuer;
    try {
      const { payload } = await jwtVerify(
        token,
        (header, jws) => this.#waitFor(() => keys.find(header, jws)),
        {
          issuer: settings.issuer,
          audience: settings.audience,
          algorithms: settings.algorithms,
          clockTolerance: settings.clockToleranceSeconds,
          requiredClaims: ["exp", "sub"],
        },
      );
      return read(payload, settings);
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    } finally {
      this.#underWay -= 1;
    }
  }

  // Who waits for an issuer does no work: a flood of unknown keys must not keep others from theirs.
  async #waitFor<T>(find: () => Promise<T> | T): Promise<T> {
    this.#underWay -= 1;
    try {
      return await find();
    } finally {
      this.#underWay += 1;
    }
  }
}

/** Only to know whose keys to check it with. */
function claimedIssuer(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function read(
  payload: JWTPayload,
  { id, tenant, claims, ...settings }: IssuerSettings,
): VerifiedToken | undefined {
  const owner = tenant ?? claimAt(payload, claims.tenant);
  const project = claimAt(payload, claims.project) ?? "default";
  if (!isPlainName(owner) || !isPlainName(project)) return undefined;
  const granted = listOf(claimAt(payload, claims.permissions))?.filter(isPermission);
  const user = claimAt(payload, claims.user);
  const isUser = typeof user === "string" && user !== "" && user.length <= MAX_USER_LENGTH;
  return {
    keyId: `${id}.${hash("sha256", payload.sub ?? "", "hex").slice(0, SUBJECT_LENGTH)}`,
    tenant: owner,
    project,
    permissions: granted ?? settings.permissions ?? DEFAULT_PERMISSIONS,
    models: listOf(claimAt(payload, claims.models)),
    user: isUser ? user : undefined,
    expiresAt: ((payload.exp ?? 0) + settings.clockToleranceSeconds) * 1000,
  };
}

function isPlainName(value: unknown): value is string {
  return typeof value === "string" && PLAIN_NAME.test(value);
}

function claimAt(payload: JWTPayload, way: string | readonly string[]): unknown {
  let value: unknown = payload;
  for (const name of typeof way === "string" ? [way] : way) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** Undefined for a claim that is not there; what is there and is no list of texts grants nothing. */
function listOf(value: unknown): string[] | undefined {
  if (value === undefined) return undefined;
  const list = typeof value === "string" ? value.split(" ") : value;
  if (!Array.isArray(list) || list.length > MAX_LIST) return [];
  return list.filter((entry): entry is string => typeof entry === "string" && entry !== "");
}
