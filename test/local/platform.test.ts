import { existsSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat, copyProject, databaseUrl, type Outcome, type Status, TestPlatform } from "./support.ts";

let project: ReturnType<typeof copyProject>;
let platform: TestPlatform;
let first: Outcome;
let status: Status;
let key: string;

beforeAll(async () => {
  // A copy: an edit of the sources while the tests run would restart processes.
  project = copyProject();
  platform = new TestPlatform(project.folder);
  first = await platform.start();
  status = await platform.status();
  key = await platform.key();
}, 120_000);
afterAll(async () => {
  await platform.close();
  project.remove();
}, 60_000);

const gateway = (): string => status.gateway ?? "";
const headers = () => ({ authorization: `Bearer ${key}`, "content-type": "application/json" });
const PROCESSES = [
  "local-blue-gateway",
  "local-blue-simulated-chat-0",
  "local-blue-simulated-embeddings-0",
  "postgres",
  "redis",
  "router",
];

function accepts(address: string): Promise<boolean> {
  const [host, port] = address.replace(/^\w+:\/\//, "").split(":");
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("close", () => socket.destroy()).once("connect", () => socket.destroy());
  });
}

describe("npm start on a machine where nothing runs", () => {
  test("brings every process up, and shows each resource with its time", () => {
    expect(first).toMatchObject({ code: 0, stderr: "" });
    for (const name of [...PROCESSES, "local-weights", "demo-key"]) {
      expect(first.stdout).toMatch(new RegExp(`\\+ created +${name} .* \\d+\\.\\d s`));
    }
    expect([...platform.processes().keys()].sort()).toEqual(PROCESSES);
  });

  test("ends with the address, the key and three things to paste", () => {
    expect(first.stdout).toContain(`${gateway()}/v1`);
    expect(first.stdout).toContain(key);
    expect(first.stdout).toContain(`curl ${gateway()}/v1/chat/completions`);
    expect(first.stdout).toContain(`new OpenAI({ baseURL: "${gateway()}/v1"`);
    expect(first.stdout).toContain(`OpenAI(base_url="${gateway()}/v1"`);
  });

  test("serves a chat from the first model of the list", async () => {
    const response = await chat(gateway(), key);
    expect(response.status).toBe(200);
    const body = (await response.json()) as { choices: { message: { content: string } }[] };
    expect(body.choices[0]?.message.content.length).toBeGreaterThan(0);
  });

  test("serves a stream that ends in [DONE]", async () => {
    const response = await chat(gateway(), key, { stream: true });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    expect((await response.text()).trimEnd().endsWith("data: [DONE]")).toBe(true);
  });

  test("serves embeddings", async () => {
    const body = JSON.stringify({ model: "simulated-embeddings", input: ["a", "b"] });
    const response = await fetch(`${gateway()}/v1/embeddings`, { method: "POST", headers: headers(), body });
    const { data } = (await response.json()) as { data: { embedding: number[] }[] };
    expect(data.map(({ embedding }) => embedding.length)).toEqual([384, 384]);
  });

  test("refuses a call without the key", async () => {
    expect((await fetch(`${gateway()}/v1/models`)).status).toBe(401);
  });

  test("listens on loopback only", () => {
    const addresses = [gateway(), ...status.services.map(({ address }) => address)];
    for (const address of addresses) expect(address).toMatch(/^(http:\/\/)?127\.0\.0\.1:\d+$/);
  });
});

describe("npm run status", () => {
  test("tells what scripts need", () => {
    expect(status.active).toBe("blue");
    expect(status.weights).toEqual({ blue: 100, green: 0 });
    expect(status.colors.blue).toMatchObject({
      healthy: true,
      release: expect.stringMatching(/^[0-9a-f]{12}$/),
    });
    expect(status.services.map(({ name }) => name).sort()).toEqual(PROCESSES);
    for (const { kind, healthy } of status.services) {
      expect(kind).toMatch(/^(real|embedded)$/);
      expect(healthy).toBe(true);
    }
  });

  test("shows the same to people", async () => {
    const { stdout } = await platform.run("status");
    expect(stdout).toContain(gateway());
    for (const name of PROCESSES) expect(stdout).toContain(name);
    expect(stdout).not.toContain(key);
  });
});

describe("npm run key", () => {
  test("prints the key alone", async () => {
    expect((await platform.run("key")).stdout).toBe(`${key}\n`);
    expect(key).toMatch(/^sk-local-[\w-]{40,}$/);
  });
});

describe("npm run platform -- costs show", () => {
  test("shows what the demo key's chats have cost, once the ledger has them", async () => {
    await chat(gateway(), key);
    await expect
      .poll(async () => (await platform.run("costs", ["show", "--by", "tenant,model"])).stdout, {
        timeout: 50_000,
      })
      .toMatch(/in USD\ntenant +model +requests .*\n(.*\n)*demo +simulated-chat +\d+ /);
  });
});

describe("a second npm start", () => {
  test("changes nothing and says so", async () => {
    const before = platform.processes();
    const second = await platform.start();
    expect(second.code).toBe(0);
    expect(second.stdout).toContain("Nothing to change");
    expect(second.stdout).not.toContain("created");
    expect(platform.processes()).toEqual(before);
  });
});

describe("PostgreSQL of the platform", () => {
  test("keeps its data over a stop and a start, which also keep the key", async () => {
    const query = async (sql: string) => {
      const client = new pg.Client({ connectionString: await databaseUrl(platform) });
      await client.connect();
      try {
        return (await client.query(sql)).rows;
      } finally {
        await client.end();
      }
    };
    await query("CREATE TABLE kept (v vector(2))");
    await query("INSERT INTO kept VALUES ('[1,2]')");
    await platform.run("stop");
    await platform.start();
    status = await platform.status();
    expect(await query("SELECT v FROM kept")).toEqual([{ v: "[1,2]" }]);
    expect(await platform.key()).toBe(key);
  });
});

describe.each(PROCESSES)("%s, killed with -9", (name) => {
  test("is healed by the next npm start, and by that alone", async () => {
    const before = platform.processes();
    platform.kill(name);
    const { code, stdout } = await platform.start();
    expect(code).toBe(0);
    expect(stdout.match(/\+ created +\S+/g)?.map((line) => line.split(/ +/).at(-1))).toContain(name);
    const after = platform.processes();
    expect([...after.keys()].sort()).toEqual(PROCESSES);
    for (const other of PROCESSES) expect(after.get(other) === before.get(other), other).toBe(other !== name);
    status = await platform.status();
    expect((await chat(gateway(), key)).status).toBe(200);
  });
});

describe("npm stop", () => {
  test("ends every process, frees every port, keeps the data; a second one does nothing", async () => {
    const addresses = status.services.map(({ address }) => address);
    const stopped = await platform.run("stop");
    expect(stopped).toMatchObject({ code: 0, stderr: "" });
    expect(platform.processes().size).toBe(0);
    expect(await Promise.all(addresses.map(accepts))).toEqual(addresses.map(() => false));
    expect(existsSync(path.join(platform.state, "data/postgres"))).toBe(true);
    expect((await platform.status()).gateway).toBeNull();
    expect((await platform.run("stop")).code).toBe(0);
  });

  test("removes the data, too, with --purge", async () => {
    expect((await platform.run("stop", ["--purge"])).code).toBe(0);
    expect(existsSync(platform.state)).toBe(false);
  });
});
