import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Database } from "../../../services/gateway/state/database.ts";
import { connectKeyValue } from "../../../services/gateway/state/key-value.ts";
import { Store } from "./store.ts";
import { until } from "./support.ts";

let store: Store;

beforeEach(async () => {
  store = new Store();
  await store.listen();
});

afterEach(async () => {
  await store.close();
});

async function rejectsWithin(milliseconds: number, ping: () => Promise<void>): Promise<void> {
  const started = performance.now();
  await expect(ping()).rejects.toThrow();
  expect(performance.now() - started).toBeLessThan(milliseconds);
}

describe("a key-value store that is well", () => {
  test("answers the very first ping, before its connection stands", async () => {
    const keyValue = connectKeyValue(`redis://127.0.0.1:${store.port}`);
    await expect(keyValue.ping()).resolves.toBeUndefined();
    await keyValue.close();
  });
});

describe("a store that falls silent", () => {
  test("key-value: a ping that worked fails within two seconds", async () => {
    const keyValue = connectKeyValue(`redis://127.0.0.1:${store.port}`);
    const works = () =>
      keyValue.ping().then(
        () => true,
        () => false,
      );
    await until(works);
    store.silent = true;
    await rejectsWithin(2_000, () => keyValue.ping());
    await keyValue.close();
  });

  test("ledger: a connection that is never greeted fails within two seconds", async () => {
    store.silent = true;
    const url = `postgresql://user@127.0.0.1:${store.port}/database`;
    const ledger = new Database(url, pino({ level: "silent" }));
    await rejectsWithin(2_000, () => ledger.ping());
    await ledger.close();
  });
});
