import { runtime } from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { hasUnknown, normalise, plain, secret, secretTexts } from "../../providers/wire.ts";

const output = { [runtime.specialSigKey]: runtime.specialOutputValueSig };

describe("property bags on the wire", () => {
  test("plain, with nested markers, then only the values are left", () => {
    const bag = { a: secret({ b: [secret("x"), { ...output, value: "y", secret: true }] }), c: null };
    expect(plain(bag)).toEqual({ a: { b: ["x", "y"] } });
  });

  test("normalise, with an output value around a secret, then one secret marker is left", () => {
    expect(normalise({ a: { ...output, value: secret({ b: secret(1) }) } })).toEqual({ a: secret({ b: 1 }) });
  });

  test("normalise, with secrets in a list, then the rest stays readable", () => {
    expect(normalise({ list: ["a", secret("b")] })).toEqual({ list: ["a", secret("b")] });
  });

  test("secretTexts, with secrets at several depths, then all their texts and no others are found", () => {
    const bag = {
      open: "no",
      list: ["no", secret("one")],
      map: secret({ a: "two", b: { c: ["three", ""] } }),
    };
    expect(secretTexts(bag).sort()).toEqual(["one", "three", "two"]);
  });

  test("hasUnknown, with an unknown inside a secret or an output without a value, then it is seen", () => {
    expect(hasUnknown({ a: [secret(runtime.unknownValue)] })).toBe(true);
    expect(hasUnknown({ a: output })).toBe(true);
    expect(hasUnknown({ a: [secret("known")] })).toBe(false);
  });
});
