import fc from "fast-check";
import { expect, test } from "vitest";
import type { Exchange } from "../../../services/gateway/exchange.ts";
import { ExchangeList } from "../../../services/gateway/exchange-list.ts";

const EXCHANGES = 8;

test("a list of exchanges, after any additions and removals, then it holds what a set would hold", () => {
  const steps = fc.array(fc.record({ add: fc.boolean(), which: fc.nat(EXCHANGES - 1) }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (history) => {
      const exchanges = Array.from({ length: EXCHANGES }, () => ({ listedAt: -1 }) as Exchange);
      const list = new ExchangeList();
      const set = new Set<Exchange>();
      for (const { add, which } of history) {
        const exchange = exchanges[which] as Exchange;
        if (!add) list.delete(exchange);
        else if (!set.has(exchange)) list.add(exchange);
        set[add ? "add" : "delete"](exchange);
        expect(list.size).toBe(set.size);
        expect(new Set(list)).toEqual(set);
      }
    }),
  );
});

test("a list of exchanges, when they leave while it is gone through, then each is met once", () => {
  const exchanges = Array.from({ length: EXCHANGES }, () => ({ listedAt: -1 }) as Exchange);
  const list = new ExchangeList();
  for (const exchange of exchanges) list.add(exchange);
  const met: Exchange[] = [];
  for (const exchange of list) {
    list.delete(exchange);
    met.push(exchange);
  }
  expect(met).toEqual(exchanges);
  expect(list.size).toBe(0);
});
