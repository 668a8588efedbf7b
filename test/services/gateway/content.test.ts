import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CHUNK_BYTES, toChunks } from "../../../services/gateway/content/chunks.ts";
import { Envelope, ObjectKey } from "../../../services/gateway/content/envelope.ts";
import { ContentError } from "../../../services/gateway/content/key-wrapper.ts";
import {
  type ContentKeys,
  contentKeys,
  LocalKeyWrapper,
} from "../../../services/gateway/content/local-keys.ts";

const SEED = 20_260;
const OWNER = { tenant: "acme", object: "file-1" };
const bytes = fc.uint8Array({ maxLength: 3_000 }).map((array) => Buffer.from(array));
const place = fc.record({ number: fc.nat(100_000), last: fc.boolean() });
const name = fc.string({ maxLength: 40 });
const owner = fc.record({ tenant: name, object: name });

function keyNamed(id: string): ContentKeys[number] {
  return { id, key: randomBytes(32).toString("base64") };
}

function envelopeOf(...keys: ContentKeys): Envelope {
  return new Envelope(new LocalKeyWrapper(keys));
}

async function* pieces(...list: Buffer[]): AsyncGenerator<Buffer> {
  yield* list;
}

async function chunksOf(source: AsyncIterable<Buffer>, size?: number) {
  const chunks: { number: number; last: boolean; data: Buffer }[] = [];
  for await (const chunk of toChunks(source, size)) chunks.push(chunk);
  return chunks;
}

describe("content that is encrypted", () => {
  const k1 = keyNamed("k1");

  test("is read again as it was, and holds nothing of what it was", async () => {
    const secret = Buffer.from("the-prompt-of-a-client".repeat(20));
    await fc.assert(
      fc.asyncProperty(bytes, place, owner, async (content, at, whose) => {
        const plaintext = Buffer.concat([secret, content]);
        const { key, wrapped } = await envelopeOf(k1).create(whose);
        const sealed = key.seal(plaintext, at);
        expect(sealed.includes("the-prompt")).toBe(false);
        const again = await envelopeOf(k1).open(wrapped, whose);
        expect(again.open(sealed, at).equals(plaintext)).toBe(true);
      }),
      { seed: SEED },
    );
  });

  test("is never encrypted to the same bytes twice, with a key of its own for each object", async () => {
    const envelope = envelopeOf(k1);
    const [a, b] = [await envelope.create(OWNER), await envelope.create(OWNER)];
    const at = { number: 0, last: true };
    expect(a.key.seal(Buffer.from("same"), at).equals(a.key.seal(Buffer.from("same"), at))).toBe(false);
    expect(a.wrapped.ciphertext.equals(b.wrapped.ciphertext)).toBe(false);
    expect(() => b.key.open(a.key.seal(Buffer.from("same"), at), at)).toThrow(ContentError);
  });

  test("with any bit changed, or cut anywhere: is refused", async () => {
    const { key } = await envelopeOf(k1).create(OWNER);
    await fc.assert(
      fc.asyncProperty(bytes, place, fc.nat(), fc.nat(7), async (content, at, position, bit) => {
        const sealed = key.seal(content, at);
        const changed = Buffer.from(sealed);
        const index = position % sealed.length;
        changed[index] = (changed[index] ?? 0) ^ (1 << bit);
        expect(() => key.open(changed, at)).toThrow(ContentError);
        expect(() => key.open(sealed.subarray(0, index), at)).toThrow(ContentError);
      }),
      { seed: SEED },
    );
  });

  test("as the last one of its object, taken for one before the end, or the other way round: is refused", async () => {
    const { key } = await envelopeOf(k1).create(OWNER);
    for (const last of [true, false]) {
      const sealed = key.seal(Buffer.from("content"), { number: 3, last });
      expect(() => key.open(sealed, { number: 3, last: !last })).toThrow(ContentError);
    }
  });

  test("at any other place, or taken for the last or not the last: is refused", async () => {
    const { key } = await envelopeOf(k1).create(OWNER);
    await fc.assert(
      fc.asyncProperty(bytes, place, place, async (content, at, other) => {
        fc.pre(at.number !== other.number || at.last !== other.last);
        expect(() => key.open(key.seal(content, at), other)).toThrow(ContentError);
      }),
      { seed: SEED },
    );
  });

  test("for another tenant or object, however alike their names: neither key nor content is opened", async () => {
    const envelope = envelopeOf(k1);
    await fc.assert(
      fc.asyncProperty(owner, owner, async (whose, other) => {
        fc.pre(whose.tenant !== other.tenant || whose.object !== other.object);
        const { wrapped } = await envelope.create(whose);
        await expect(envelope.open(wrapped, other)).rejects.toThrow(ContentError);
      }),
      { seed: SEED },
    );
  });

  test("for another tenant or object that holds the same data key: is refused", () => {
    const dataKey = randomBytes(32);
    const place = { number: 0, last: true };
    const own = new ObjectKey(dataKey, { tenant: "acme", object: "file-1" });
    const sealed = own.seal(Buffer.from("content"), place);
    expect(own.open(sealed, place).toString()).toBe("content");
    for (const owner of [
      { tenant: "globex", object: "file-1" },
      { tenant: "acme", object: "file-2" },
    ]) {
      expect(() => new ObjectKey(dataKey, owner).open(sealed, place)).toThrow(ContentError);
    }
  });

  test("split between tenant and object elsewhere: the same letters are another owner", async () => {
    const envelope = envelopeOf(k1);
    const { wrapped } = await envelope.create({ tenant: "ab", object: "c" });
    await expect(envelope.open(wrapped, { tenant: "a", object: "bc" })).rejects.toThrow(ContentError);
  });
});

describe("content keys that change", () => {
  test("a new key first: old content is read, new content needs the new key", async () => {
    const [old, fresh] = [keyNamed("old"), keyNamed("new")];
    const before = await envelopeOf(old).create(OWNER);
    const both = envelopeOf(fresh, old);
    await expect(both.open(before.wrapped, OWNER)).resolves.toBeDefined();
    const after = await both.create(OWNER);
    expect(after.wrapped.keyId).toBe("new");
    await expect(envelopeOf(old).open(after.wrapped, OWNER)).rejects.toMatchObject({ reason: "unknown_key" });
  });

  test("wrapped anew: is read without the old key, and was not encrypted anew", async () => {
    const [old, fresh] = [keyNamed("old"), keyNamed("new")];
    const { key, wrapped } = await envelopeOf(old).create(OWNER);
    const sealed = key.seal(Buffer.from("content"), { number: 0, last: true });
    const rewrapped = await envelopeOf(fresh, old).rewrap(wrapped, OWNER);
    const again = await envelopeOf(fresh).open(rewrapped, OWNER);
    expect(again.open(sealed, { number: 0, last: true }).toString()).toBe("content");
    await expect(envelopeOf(fresh, old).rewrap(rewrapped, OWNER)).resolves.toBe(rewrapped);
  });

  test("another key under the same id: tells operators which, and nothing of any key", async () => {
    const [k1, other] = [keyNamed("k1"), keyNamed("k1")];
    const { wrapped } = await envelopeOf(k1).create(OWNER);
    const error = await envelopeOf(other)
      .open(wrapped, OWNER)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ reason: "corrupt", message: expect.stringContaining('"k1"') });
    expect(String(error)).not.toContain(k1.key);
    expect(String(error)).not.toContain(other.key);
  });

  test.each([
    ["no keys", []],
    ["a short key", [{ id: "k", key: randomBytes(16).toString("base64") }]],
    ["a key that is no base64", [{ id: "k", key: `${randomBytes(31).toString("base64").slice(0, -1)}!` }]],
    ["an id twice", [keyNamed("k"), keyNamed("k")]],
    ["an id that is no name", [keyNamed("a key")]],
    ["a field too many", [{ ...keyNamed("k"), secret: "x" }]],
  ])("%s: is refused without telling it", (_, value) => {
    const { error } = contentKeys.safeParse(value);
    expect(error).toBeDefined();
    for (const entry of value) expect(error?.message).not.toContain(entry.key);
  });
});

describe("a stream that is cut into chunks", () => {
  test("however it comes: whole chunks, numbered, one last one, and the same bytes", async () => {
    const size = 64;
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { maxLength: 6 }), async (list) => {
        const chunks = await chunksOf(pieces(...list), size);
        expect(Buffer.concat(chunks.map(({ data }) => data)).equals(Buffer.concat(list))).toBe(true);
        expect(chunks.map(({ number }) => number)).toEqual(chunks.map((_, index) => index));
        expect(chunks.map(({ last }) => last)).toEqual(chunks.map((_, index) => index === chunks.length - 1));
        for (const { data, last } of chunks) if (!last) expect(data.length).toBe(size);
        expect(chunks.at(-1)?.data.length).toBeLessThanOrEqual(size);
      }),
      { seed: SEED },
    );
  });

  test("of just one chunk's size: is one chunk", async () => {
    expect(await chunksOf(pieces(Buffer.alloc(CHUNK_BYTES)))).toMatchObject([{ number: 0, last: true }]);
  });
});
