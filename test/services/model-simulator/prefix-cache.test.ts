import { expect, test } from "vitest";
import { PrefixCache } from "../../../services/model-simulator/prefix-cache.ts";

function tokens(length: number, first = 0): number[] {
  return Array.from({ length }, (_, index) => first + index);
}

test("the prefix cache finds whole blocks from the start, but never the last token", () => {
  const cache = new PrefixCache(100, 8);
  expect([cache.lookUp(tokens(16)), cache.lookUp(tokens(16)), cache.lookUp(tokens(17))]).toEqual([0, 8, 16]);
  expect(cache.lookUp([...tokens(8), ...tokens(9, 500)])).toBe(8);
  expect(cache.lookUp([999, ...tokens(16).slice(1)])).toBe(0);
});

test("the prefix cache forgets the least recently used block, when it is full", () => {
  const cache = new PrefixCache(2, 8);
  cache.lookUp(tokens(9));
  cache.lookUp(tokens(9, 100));
  cache.lookUp(tokens(9));
  cache.lookUp(tokens(9, 200));
  expect([cache.lookUp(tokens(9)), cache.lookUp(tokens(9, 100))]).toEqual([8, 0]);
});
