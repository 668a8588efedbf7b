import { createHmac, createSecretKey, type KeyObject, randomUUID, timingSafeEqual } from "node:crypto";

const PARTS = /^(.+)\.([0-9a-f-]{36})\.([\w-]{43})$/;

/** What a token says about the answer that carried it. */
export interface RatedAnswer {
  readonly release: string;
  /** Tells this answer from all others. */
  readonly nonce: string;
}

/**
 * Tokens by which clients rate an answer: `<release>.<nonce>.<hmac>`. Every gateway with the same key takes them,
 * whichever release gave them out; the tenant is part of what is signed, so that a token is worthless to another one.
 */
export class FeedbackTokens {
  readonly #key: KeyObject;
  readonly #release: string;

  constructor(key: string, release: string) {
    this.#key = createSecretKey(key, "utf8");
    this.#release = release;
  }

  issue(tenant: string): string {
    const answer = { release: this.#release, nonce: randomUUID() };
    return `${answer.release}.${answer.nonce}.${this.#sign(answer, tenant).toString("base64url")}`;
  }

  /** What the token is about; undefined for one that this tenant was not given. */
  read(token: string, tenant: string): RatedAnswer | undefined {
    const [, release = "", nonce = "", signature = ""] = PARTS.exec(token) ?? [];
    const answer = { release, nonce };
    const given = Buffer.from(signature, "base64url");
    const expected = this.#sign(answer, tenant);
    return given.length === expected.length && timingSafeEqual(given, expected) ? answer : undefined;
  }

  // Neither releases nor tenants hold a line break, so that no two answers are signed as the same text.
  #sign({ release, nonce }: RatedAnswer, tenant: string): Buffer {
    return createHmac("sha256", this.#key).update(`${release}\n${nonce}\n${tenant}`).digest();
  }
}
