import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat, copyProject, type Outcome, TestPlatform } from "./support.ts";

let project: ReturnType<typeof copyProject>;
let platform: TestPlatform;

/** Settings of the models in the project that is released from. */
function setModel(...lines: string[]): void {
  const file = path.join(project.folder, "stacks/Pulumi.local.yaml");
  const text = readFileSync(file, "utf8").replace(
    /task: chat\n(?: {6}.*\n)*/,
    `task: chat\n${lines.map((line) => `      ${line}\n`).join("")}`,
  );
  writeFileSync(file, text);
}

beforeAll(async () => {
  project = copyProject();
  platform = new TestPlatform(project.folder);
  const started = await platform.start();
  expect(started.stderr).toBe("");
  expect(started.code).toBe(0);
}, 180_000);
afterAll(async () => {
  await platform.close();
  project.remove();
}, 120_000);

const release = (...args: string[]): Promise<Outcome> => platform.run("release", ["local", ...args]);
const rollback = (...args: string[]): Promise<Outcome> => platform.run("rollback", ["local", ...args]);

interface Listed {
  number: number;
  release: string;
  label?: string;
  color: string;
  outcome: string;
  verdict: string;
  changes: string[];
  by: string;
  strategy?: string;
}

async function releases(): Promise<Listed[]> {
  return JSON.parse((await platform.run("releases", ["local", "--json"])).stdout);
}

async function answers(): Promise<void> {
  const { gateway } = await platform.status();
  expect((await chat(String(gateway), await platform.key())).status).toBe(200);
}

describe("releases on this machine, in the order in which people make them", { timeout: 300_000 }, () => {
  test("what serves already is not released again, unless asked for", async () => {
    const { code, stdout } = await release();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Nothing to release: blue serves release [0-9a-f]{12} already\. `--again`/);
    expect(await releases()).toHaveLength(1);
  });

  test("editing the working tree changes no running color, not after kill -9 and healing either", async () => {
    const before = await platform.status();
    const file = path.join(project.folder, "services/gateway/openapi.ts");
    const original = readFileSync(file, "utf8");
    writeFileSync(file, `throw new Error("broken while it is edited");\n${original}`);
    setModel("answerTokens: 20");
    platform.kill("local-blue-gateway");
    platform.kill("local-blue-simulated-chat-0");
    const { code } = await platform.start();
    expect(code).toBe(0);
    writeFileSync(file, original);
    expect((await platform.status()).colors).toEqual(before.colors);
    await answers();
  });

  test("a release with a label moves all traffic to green under its own load, none of it lost", async () => {
    const { code, stdout, stderr } = await release("--label", "20 tokens: <b>günstig</b>", "--rate", "200");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toMatch(/Changed: configuration, model simulated-chat\./);
    expect(stdout).toMatch(/The load: (\d+) requests, \1 answered, 0 failed\./);
    const status = await platform.status();
    expect(status.active).toBe("green");
    expect(status.weights).toEqual({ blue: 0, green: 100 });
    expect(status.colors.green).toMatchObject({ label: "20 tokens: <b>günstig</b>", healthy: true });
    expect(status.colors.blue?.healthy).toBe(true);
    const report = /^Report: (file:\S+)$/m.exec(stdout)?.[1] ?? "";
    const html = readFileSync(fileURLToPath(report), "utf8");
    expect(html).toContain("20 tokens: &lt;b&gt;günstig&lt;/b&gt;");
    expect(html).toMatch(/<svg/);
    await answers();
  });

  test("an unchanged start, then nothing changes: both colors stay", async () => {
    const { stdout } = await platform.start();
    expect(stdout).toMatch(/^Nothing to change/);
  });

  test("a rollback brings blue back at once, and says in how many milliseconds", async () => {
    const { code, stdout } = await rollback("--reason", "the answers are too short");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^All traffic is with blue again \(\d+ ms\): release [0-9a-f]{12}\./);
    const status = await platform.status();
    expect(status.weights).toEqual({ blue: 100, green: 0 });
    expect(Object.keys(status.colors)).toEqual(["blue"]);
    expect((await releases()).at(-1)).toMatchObject({
      outcome: "rolled back",
      verdict: expect.stringContaining("the answers are too short"),
    });
    expect([...platform.processes().keys()].some((name) => name.startsWith("local-green"))).toBe(false);
    await answers();
  });

  test("another rollback, then it says that there is nothing to go back from, and how to get further back", async () => {
    const { code, stderr } = await rollback();
    expect(code).toBe(1);
    expect(stderr).toMatch(/there is no release to go back from.*\nremedy: .*--to <release>/);
  });

  test("a release of the past by its label, then it is on green again", async () => {
    setModel();
    const { code, stdout } = await release("--to", "20 tokens: <b>günstig</b>", "--rate", "200");
    expect(code).toBe(0);
    expect(stdout).toMatch(/is active on green/);
  });

  test("an earlier release that nobody made, then the error says how to list them", async () => {
    const { code, stderr } = await release("--to", "nonsense");
    expect(code).toBe(1);
    expect(stderr).toMatch(/no release is called "nonsense"\.\nremedy: `npm run releases -- local`/);
  });

  test("options that do not fit, then all are told at once and nothing changes", async () => {
    const before = await releases();
    const { code, stderr } = await release(
      "--label",
      "",
      "--strategy",
      "yolo",
      "--rate",
      "many",
      "--hold",
      "x",
      "--with-load",
      "--no-load",
    );
    expect(code).toBe(1);
    for (const option of ["--label", "--strategy", "--rate", "--hold", "--with-load"])
      expect(stderr).toContain(option);
    expect(await releases()).toEqual(before);
    expect((await platform.run("release", [])).stderr).toMatch(/no environment is given/);
    expect((await platform.run("release", ["mars"])).stderr).toMatch(
      /"mars" is no environment of this machine/,
    );
  });
});

describe("bad releases on this machine", { timeout: 300_000 }, () => {
  const stopped = async (reason: RegExp) => {
    const before = await platform.status();
    const { code, stdout } = await release("--rate", "200");
    expect(stdout).toMatch(reason);
    expect(code).toBe(1);
    const after = await platform.status();
    expect(after.weights).toEqual(before.weights);
    expect(after.colors).toEqual({ [String(before.active)]: before.colors[String(before.active)] });
    await answers();
  };

  test("one that errors is stopped with the reason, and the active color is untouched", async () => {
    setModel("fault: status=500");
    await stopped(/was taken back: .*smoke suite on blue/);
  });

  test("one that is slow is stopped with the reason", async () => {
    setModel("fault: delay=2600");
    await stopped(/was taken back: .*prompt tests on blue: response p95 .* limit 2 s/);
  });

  test("one whose quality is worse is stopped with the reason", async () => {
    setModel("fault: unstructured");
    await stopped(/was taken back: .*quality 0\.\d+ over \d+ answers.*ends the release/);
  });

  test("one whose gateway does not even start is stopped with the reason", async () => {
    setModel();
    const file = path.join(project.folder, "services/gateway/main.ts");
    const original = readFileSync(file, "utf8");
    writeFileSync(file, `process.exitCode = 1;\nthrow new Error("not today");\n${original}`);
    await stopped(/was taken back: .*blue could not be brought up: .*local-blue-gateway/);
    writeFileSync(file, original);
  });

  test("one whose prompts cannot be read is refused before anything is changed", async () => {
    const before = await releases();
    const file = path.join(project.folder, "prompts/bad.yaml");
    writeFileSync(file, "name: bad\ntests: [");
    const { code, stderr } = await release();
    rmSync(file);
    expect(code).toBe(1);
    expect(stderr).toMatch(/these prompts cannot be used:\n.*prompts\/bad\.yaml.*\nremedy:/s);
    expect(await releases()).toEqual(before);
  });

  test("one that nobody asks anything holds, and is taken back by a rollback", async () => {
    setModel("answerTokens: 25");
    const held = await release("--no-load", "--hold", "3");
    expect(held.code).toBe(2);
    expect(held.stdout).toMatch(/holds: errors 0 of \d+ .*not proven yet|holds: .*only \d+ of at least 50/);
    expect((await platform.status()).weights).toEqual({ blue: 100, green: 0 });
    const { stdout } = await platform.start();
    expect(stdout).toMatch(/A release onto blue stands at "observing"/);
    expect((await rollback()).code).toBe(0);
    expect((await platform.status()).weights).toEqual({ blue: 0, green: 100 });
    await answers();
  });
});

describe("a release under way whose color can no longer be healed", { timeout: 300_000 }, () => {
  test("loses its traffic at the next start, and the rest of it to a rollback", async () => {
    setModel("answerTokens: 26");
    expect((await release("--no-load", "--hold", "1")).code).toBe(2);
    const { weights, colors } = await platform.status();
    const [color = ""] = Object.entries(weights).find(([, weight]) => weight === 100) ?? [];
    const bundle = path.join(
      platform.state,
      "releases/local/snapshots",
      String(colors[color]?.release),
      "gateway.mjs",
    );
    chmodSync(bundle, 0o600);
    writeFileSync(bundle, "throw new Error('damaged');");
    platform.kill(`local-${color}-gateway`);
    const started = await platform.start();
    expect(started.code).toBe(0);
    expect(started.stderr).toMatch(
      /warning: back to \w+: \w+ could not be healed: .*has a changed or missing file, gateway\.mjs/,
    );
    expect((await platform.status()).weights).not.toEqual(weights);
    await answers();
    expect((await rollback()).code).toBe(0);
    expect(Object.keys((await platform.status()).colors)).not.toContain(color);
    await answers();
  });
});

describe("what users are given and say", { timeout: 300_000 }, () => {
  const asUser = async (user: string) => {
    const { gateway } = await platform.status();
    const headers = { authorization: `Bearer ${await platform.key()}`, "x-user-id": user };
    return { url: String(gateway), headers };
  };

  test("a model behind a percentage flag is there for that share of the users, always the same ones", async () => {
    setModel("flag: preview");
    const file = path.join(project.folder, "stacks/Pulumi.local.yaml");
    const original = readFileSync(file, "utf8");
    const flag = { state: "ENABLED", variants: { on: true, off: false }, defaultVariant: "off" };
    const targeting = {
      fractional: [
        ["on", 25],
        ["off", 75],
      ],
    };
    const next = "    - name: simulated-embeddings\n";
    const more = original.replace(next, `    - name: for-all\n      task: chat\n${next}`);
    const flags = JSON.stringify({ preview: { ...flag, targeting } });
    writeFileSync(file, `${more}  llm-platform:flags: ${flags}\n`);
    const { code, stdout } = await release("--rate", "200");
    writeFileSync(file, original);
    expect(stdout).toMatch(
      /Changed: configuration, flags, gateway settings, model for-all, model simulated-chat/,
    );
    expect(code).toBe(0);
    const { url, headers } = await asUser("");
    const names = async (user: string): Promise<string[]> => {
      const response = await fetch(`${url}/v1/models`, { headers: { ...headers, "x-user-id": user } });
      return ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id);
    };
    const users = Array.from({ length: 60 }, (_, index) => `user-${index}`);
    const first = await Promise.all(users.map(names));
    const withPreview = first.filter((list) => list.includes("simulated-chat")).length;
    expect(withPreview).toBeGreaterThan(3);
    expect(withPreview).toBeLessThan(30);
    expect(await Promise.all(users.map(names))).toEqual(first);
  });

  test("complaints about a release that is watched take it back", async () => {
    setModel();
    expect((await release("--no-load", "--hold", "1")).code).toBe(2);
    const { url, headers } = await asUser("someone");
    const key = await platform.key();
    for (let index = 0; index < 60; index += 1) {
      const answer = await chat(url, key);
      await answer.text();
      const token = answer.headers.get("x-feedback-token");
      const vote = await fetch(`${url}/v1/feedback`, {
        method: "POST",
        headers: { ...headers, "x-user-id": `user-${index}`, "content-type": "application/json" },
        body: JSON.stringify({ token, rating: "bad" }),
      });
      expect(vote.status).toBe(202);
    }
    const { code, stdout } = await release("--no-load");
    expect(stdout).toMatch(/Going on with the release onto (blue|green), which stands at "observing"/);
    expect(stdout).toMatch(/was taken back: .*complaints 60 on \d+ requests, limit 1 %/);
    expect(code).toBe(1);
    await answers();
  });
});
