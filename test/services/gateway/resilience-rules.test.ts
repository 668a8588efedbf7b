import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoffMs } from "../../../services/gateway/resilience/backoff.ts";
import { Breaker, CIRCUIT } from "../../../services/gateway/resilience/breaker.ts";
import { RetryBudget } from "../../../services/gateway/resilience/retry-budget.ts";

const BACKOFF = { baseMs: 1_000, maxMs: 60_000 };

describe("the wait before a repetition, when the backend says nothing", () => {
  test.each([
    [1, 1_000],
    [2, 2_000],
    [3, 4_000],
    [6, 32_000],
    [7, 60_000],
    [60, 60_000],
  ])("after %i failures, then it is anywhere from 0 to %i ms", (failures, bound) => {
    const wait = (random: number) => backoffMs(BACKOFF, failures, { retryAfterMs: 0, random });
    expect(wait(0)).toBe(0);
    expect(wait(0.5)).toBe(bound / 2);
    expect(wait(0.999)).toBeCloseTo(bound * 0.999);
  });
});

test("a wait, when the backend asks for a longer one, then it is that long", () => {
  expect(backoffMs(BACKOFF, 1, { retryAfterMs: 7_000, random: 0.5 })).toBe(7_000);
  expect(backoffMs(BACKOFF, 4, { retryAfterMs: 1_000, random: 0.5 })).toBe(4_000);
});

describe("a budget for repetitions", () => {
  test("when it is new, then it holds its burst and no more", () => {
    const budget = new RetryBudget();
    expect([1, 2, 3, 4].map(() => budget.withdraw(3))).toEqual([true, true, true, false]);
  });

  test("when it is empty, then requests fill it by their share", () => {
    const budget = new RetryBudget();
    while (budget.withdraw(2));
    for (let request = 0; request < 4; request += 1) budget.deposit(0.2, 2);
    expect(budget.withdraw(2)).toBe(false);
    budget.deposit(0.2, 2);
    expect(budget.withdraw(2)).toBe(true);
    expect(budget.withdraw(2)).toBe(false);
  });

  test("whatever happens, then repetitions stay within the share of the requests and the burst", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 300 }), (isRequest) => {
        const budget = new RetryBudget();
        let requests = 0;
        let repetitions = 0;
        for (const request of isRequest) {
          if (request) {
            requests += 1;
            budget.deposit(0.2, 5);
          } else if (budget.withdraw(5)) repetitions += 1;
        }
        expect(repetitions).toBeLessThanOrEqual(5 + requests * 0.2 + 1e-9);
      }),
    );
  });
});

describe("a breaker", () => {
  const RULE = { failures: 5, openMs: 60_000 };

  function failing(times: number, now = 0): Breaker {
    const breaker = new Breaker();
    for (let failure = 0; failure < times; failure += 1) breaker.failed(RULE, now, breaker.enter());
    return breaker;
  }

  test("after 4 failures, then it is closed; after 5, open", () => {
    expect(failing(4).allows(0)).toBe(true);
    expect(failing(5).allows(0)).toBe(false);
    expect(failing(5).state(0)).toBe(CIRCUIT.open);
    expect(failing(5).waitMs(20_000)).toBe(40_000);
  });

  test("when a success is among them, then the failures before it do not count", () => {
    const breaker = failing(4);
    breaker.succeeded();
    for (let failure = 0; failure < 4; failure += 1) breaker.failed(RULE, 0, false);
    expect(breaker.allows(0)).toBe(true);
  });

  test("when its time is over, then it lets one request through until that has ended", () => {
    const breaker = failing(5);
    expect(breaker.allows(59_999)).toBe(false);
    expect(breaker.allows(60_000)).toBe(true);
    expect(breaker.state(60_000)).toBe(CIRCUIT.halfOpen);
    expect(breaker.enter()).toBe(true);
    expect(breaker.allows(60_000)).toBe(false);
  });

  test.each([
    ["succeeds", "closed", true],
    ["fails", "open", false],
    ["leaves", "half-open", true],
  ] as const)("when the one that finds out %s, then it is %s", (how, _, allows) => {
    const breaker = failing(5);
    const probe = breaker.enter();
    if (how === "succeeds") breaker.succeeded();
    else if (how === "fails") breaker.failed(RULE, 60_000, probe);
    else breaker.left(probe);
    expect(breaker.allows(60_001)).toBe(allows);
    if (how === "fails") expect(breaker.waitMs(60_001)).toBe(59_999);
  });

  test("when requests from before it opened fail late, then it is open no longer for that", () => {
    const breaker = failing(5);
    breaker.failed(RULE, 30_000, false);
    expect(breaker.allows(60_000)).toBe(true);
  });

  test("when a stream begins half-open, then it closes, but the next failure opens it", () => {
    const breaker = failing(5);
    breaker.enter();
    breaker.began(RULE);
    expect(breaker.state(60_000)).toBe(CIRCUIT.closed);
    breaker.failed(RULE, 60_000, false);
    expect(breaker.state(60_001)).toBe(CIRCUIT.open);
  });

  test("when streams begin and are cut again and again, then it opens all the same", () => {
    const breaker = new Breaker();
    for (let stream = 0; stream < 5; stream += 1) {
      breaker.enter();
      breaker.began(RULE);
      breaker.failed(RULE, 0, false);
    }
    expect(breaker.allows(0)).toBe(false);
  });

  test("when the backend is known to be back, then the next request finds out at once", () => {
    const breaker = failing(5, 1_000);
    breaker.halfOpen(2_000);
    expect(breaker.allows(2_000)).toBe(true);
  });
});
