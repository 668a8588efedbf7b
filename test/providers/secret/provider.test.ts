import { describe, expect, test } from "vitest";
import { PlatformProvider } from "../../../providers/provider.ts";
import { type Properties, plain, secret } from "../../../providers/wire.ts";
import { failure, urnOf } from "../support.ts";

const urn = urnOf("platform:secret:Secret", "token");
const provider = new PlatformProvider();

async function create(inputs: Properties): Promise<Properties> {
  const checked = await provider.check(urn, {}, inputs);
  expect(checked.failures).toEqual([]);
  return (await provider.create(urn, checked.inputs)).outs;
}

describe("a random secret", () => {
  test("create, without arguments, then 32 random bytes in base64url, marked secret", async () => {
    const outs = await create({});
    const text = String(plain(outs).value);
    expect(outs.value).toEqual(secret(text));
    expect(text).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(plain(await create({})).value).not.toBe(text);
  });

  test("create, with a prefix and a length, then both are kept", async () => {
    expect(plain(await create({ bytes: 16, prefix: "sk-local-" })).value).toMatch(
      /^sk-local-[A-Za-z0-9_-]{22}$/,
    );
  });

  test("diff, with the same arguments, then nothing changes", async () => {
    const outs = await create({ prefix: "a" });
    const { inputs } = await provider.check(urn, {}, { prefix: "a" });
    expect(await provider.diff("id", urn, outs, inputs)).toMatchObject({ changes: false, replaces: [] });
  });

  test("diff, with another length, then it is replaced, never updated", async () => {
    const outs = await create({});
    const { inputs } = await provider.check(urn, {}, { bytes: 64 });
    expect(await provider.diff("id", urn, outs, inputs)).toMatchObject({
      changes: true,
      replaces: ["bytes"],
    });
    expect((await failure(provider.update("id", urn, outs, inputs))).message).toContain("replacement");
  });

  test("read, then the state stands as it is", async () => {
    const outs = await create({});
    expect(await provider.read("id", urn, outs)).toEqual({ id: "id", props: outs });
  });

  test("check, with several wrong arguments, then all are named at once", async () => {
    const { failures } = await provider.check(urn, {}, { bytes: 8, prefix: "a b", size: 3 });
    expect(failures?.map(({ property }) => property).sort()).toEqual(["bytes", "prefix", "size"]);
  });
});
