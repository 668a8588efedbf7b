import { randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LedgerReader } from "./cost-support.ts";
import { closeServer, listen, post, until } from "./support.ts";
import { World } from "./tenancy-world.ts";

const ISSUER = "https://login.example.com/";
const AUDIENCE = "llm-platform";

/** An issuer's keys behind a real address. */
class Issuer {
  readonly #server: Server;
  readonly #keys = new Map<string, GenerateKeyPairResult>();
  url = "";
  fetches = 0;
  /** Until it is over, nobody gets an answer. */
  holding: Promise<void> = Promise.resolve();

  constructor() {
    this.#server = createServer(async (_request, response) => {
      this.fetches += 1;
      await this.holding;
      const keys = [...this.#keys].map(async ([kid, { publicKey }]) => ({
        ...(await exportJWK(publicKey)),
        kid,
      }));
      response.end(JSON.stringify({ keys: await Promise.all(keys) }));
    });
  }

  async start(): Promise<void> {
    this.url = `${await listen(this.#server)}/keys`;
  }

  async rotate(kid: string): Promise<void> {
    this.#keys.clear();
    this.#keys.set(kid, await generateKeyPair("ES256", { extractable: true }));
  }

  stop(): Promise<void> {
    return closeServer(this.#server);
  }

  key(kid: string): GenerateKeyPairResult {
    const pair = this.#keys.get(kid);
    if (!pair) throw new Error(`no key ${kid}`);
    return pair;
  }

  sign(
    claims: object = {},
    {
      kid = "k1",
      named = kid,
      expires = "1h",
    }: { kid?: string; named?: string; expires?: string | number } = {},
  ) {
    return new SignJWT({ tenant: "acme", sub: "user@example.com", iss: ISSUER, aud: AUDIENCE, ...claims })
      .setProtectedHeader({ alg: "ES256", kid: named })
      .setExpirationTime(expires)
      .sign(this.key(kid).privateKey);
  }
}

describe("tokens of an issuer", () => {
  let world: World;
  const issuer = new Issuer();

  beforeAll(async () => {
    await issuer.rotate("k1");
    await issuer.start();
    const common = { issuer: ISSUER, audience: AUDIENCE, jwksUrl: issuer.url };
    const pinned = { ...common, id: "pinned", issuer: "https://acme.example.com/", tenant: "acme" };
    const strict = { ...common, id: "strict", issuer: "https://strict.example.com/", algorithms: ["RS256"] };
    const issuers = [{ ...common, id: "login", clockToleranceSeconds: 0 }, pinned, strict];
    world = await World.start({ postgres: "embedded", settings: { auth: { issuers } } });
    await world.makeTenant("acme");
    await world.makeTenant("other");
  });
  afterAll(async () => {
    await world.close();
    await issuer.stop();
  });

  test("a right one, when it comes, then it stands for its tenant, and the person behind it is not told", async () => {
    const token = await issuer.sign({ permissions: ["create:chat", "read:audit"], project: "shop" });
    expect(await world.chat(token)).toBe(200);
    await world.admin("GET", "/audit", { key: token });
    await until(async () => {
      const { body } = await world.admin("GET", "/audit?action=read:audit&tenant=acme");
      return (body.data as { key: string }[]).some(({ key }) => /^login\.[0-9a-f]{16}$/.test(key));
    });
    const { body } = await world.admin("GET", "/audit?tenant=acme");
    expect(JSON.stringify(body)).not.toContain("user@example.com");
  });

  test("one with a user, when its client names another, then the request counts as the token's", async () => {
    const id = randomUUID();
    const headers = {
      authorization: `Bearer ${await issuer.sign()}`,
      "x-request-id": id,
      "x-user-id": "somebody-else",
    };
    expect((await post(world.url(), { headers })).status).toBe(200);
    const [row] = await new LedgerReader(world.postgres.url).rowsOnce(id, 1);
    expect(row).toMatchObject({ user_id: "user@example.com" });
  });

  test("tokens of unknown keys, when they come in masses and the issuer hangs, then right ones pass", async () => {
    const held = Promise.withResolvers<void>();
    issuer.holding = held.promise;
    const before = issuer.fetches;
    const refused: Promise<number>[] = [];
    // Keys are asked for anew only a while after the last time.
    await until(async () => {
      refused.push(world.chat(await issuer.sign({ jti: randomUUID() }, { named: "lost" })));
      return issuer.fetches > before;
    }, 10_000);
    const flood = Array.from({ length: 300 }, () => issuer.sign({ jti: randomUUID() }, { named: "lost" }));
    refused.push(...(await Promise.all(flood)).map((token) => world.chat(token)));
    const right = Array.from({ length: 12 }, () => issuer.sign({ jti: randomUUID() }));
    const answers = await Promise.all((await Promise.all(right)).map((token) => world.chat(token)));
    held.resolve();
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(new Set(await Promise.all(refused))).toEqual(new Set([401]));
  });

  test("its permissions and models, when it asks for more, then it may not", async () => {
    expect(await world.chat(await issuer.sign({ permissions: "openid read:models" }))).toBe(403);
    expect(await world.chat(await issuer.sign({ permissions: [] }))).toBe(403);
    expect(await world.chat(await issuer.sign({ permissions: { chat: true } }))).toBe(403);
    expect(await world.chat(await issuer.sign({ models: ["embed*"] }))).toBe(403);
    expect(await world.chat(await issuer.sign({ models: "embed* chat-model" }))).toBe(200);
    const all = await issuer.sign({ permissions: ["*:*"], operator: true });
    expect((await world.admin("GET", "/tenants/other", { key: all })).status).toBe(404);
    expect((await world.admin("POST", "/tenants", { key: all, body: { id: "mine" } })).status).toBe(403);
  });

  test("wrong ones, when they come, then all are refused", async () => {
    const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(issuer.key("k1").publicKey)));
    const stranger = await generateKeyPair("ES256");
    const claims = { tenant: "acme", sub: "me", iss: ISSUER, aud: AUDIENCE };
    const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const good = await issuer.sign();
    const [head, , signature] = good.split(".");
    const wrong: Record<string, string> = {
      "another issuer": await issuer.sign({ iss: "https://evil.example.com/" }),
      "no issuer": await issuer.sign({ iss: undefined }),
      "an algorithm that is not the issuer's": await issuer.sign({ iss: "https://strict.example.com/" }),
      "another audience": await issuer.sign({ aud: "somebody-else" }),
      "no audience": await issuer.sign({ aud: undefined }),
      expired: await issuer.sign({}, { expires: Math.floor(Date.now() / 1000) - 10 }),
      "not valid yet": await issuer.sign({ nbf: Math.floor(Date.now() / 1000) + 600 }),
      "no end": await new SignJWT(claims)
        .setProtectedHeader({ alg: "ES256", kid: "k1" })
        .sign(issuer.key("k1").privateKey),
      "no subject": await issuer.sign({ sub: undefined }),
      "a tenant that is not there": await issuer.sign({ tenant: "nobody" }),
      "a tenant by the name of a method": await issuer.sign({ tenant: "constructor" }),
      "a tenant that is no text": await issuer.sign({ tenant: { id: "acme" } }),
      "no tenant": await issuer.sign({ tenant: undefined }),
      "another's key": await new SignJWT(claims)
        .setProtectedHeader({ alg: "ES256", kid: "k1" })
        .setExpirationTime("1h")
        .sign(stranger.privateKey),
      "the public key as a shared secret": await new SignJWT(claims)
        .setProtectedHeader({ alg: "HS256", kid: "k1" })
        .setExpirationTime("1h")
        .sign(secret),
      "no signature": `${base64({ alg: "none" })}.${base64({ ...claims, exp: Date.now() })}.`,
      "no algorithm": `${base64({ alg: "none" })}.${base64({ ...claims, exp: Date.now() })}.${signature}`,
      "changed claims": `${head}.${base64({ ...claims, tenant: "other", exp: 9_999_999_999 })}.${signature}`,
      garbage: "a.b.c",
    };
    for (const [name, token] of Object.entries(wrong)) expect(await world.chat(token), name).toBe(401);
    expect(await world.chat(good)).toBe(200);
  });

  test("an issuer of one tenant, when its token claims another, then it still stands for its own", async () => {
    const token = await issuer.sign({
      iss: "https://acme.example.com/",
      tenant: "other",
      permissions: ["read:tenants"],
    });
    expect((await world.admin("GET", "/tenants/acme", { key: token })).status).toBe(200);
    expect((await world.admin("GET", "/tenants/other", { key: token })).status).toBe(404);
  });

  test("one that is known, when its end comes, then it is refused", async () => {
    const token = await issuer.sign({}, { expires: Math.floor(Date.now() / 1000) + 8 });
    expect(await world.chat(token)).toBe(200);
    await until(async () => (await world.chat(token)) === 401, 30_000);
  });

  test("one that is known, when its tenant is disabled, then it is refused within a second", async () => {
    const token = await issuer.sign({ tenant: "other" });
    expect(await world.chat(token)).toBe(200);
    await world.admin("PATCH", "/tenants/other", { body: { version: 1, disabled: true } });
    await until(async () => (await world.chat(token)) === 401, 5_000);
  });

  test("keys of the issuer, when it rotates them, then tokens by the new one work soon, without a flood of questions", async () => {
    const old = await issuer.sign();
    expect(await world.chat(old)).toBe(200);
    await issuer.rotate("k2");
    await until(async () => (await world.chat(await issuer.sign({}, { kid: "k2" }))) === 200);
    const fetches = issuer.fetches;
    const strangers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) =>
        new SignJWT({ iss: ISSUER })
          .setProtectedHeader({ alg: "ES256", kid: `stranger-${index}` })
          .sign(issuer.key("k2").privateKey),
      ),
    );
    const statuses = await Promise.all(strangers.map((token) => world.chat(token)));
    expect(new Set(statuses)).toEqual(new Set([401]));
    expect(issuer.fetches - fetches).toBeLessThan(10);
  });

  test("the issuer, when it is gone, then tokens by known keys go on, old and new ones", async () => {
    const known = await issuer.sign({}, { kid: "k2" });
    await until(async () => (await world.chat(known)) === 200);
    await issuer.stop();
    expect(await world.chat(known)).toBe(200);
    expect(await world.chat(await issuer.sign({ jti: "fresh" }, { kid: "k2" }))).toBe(200);
  });
});
