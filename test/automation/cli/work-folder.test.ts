import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { removeDeadLocks } from "../../../automation/cli/locks.ts";
import { WorkFolder } from "../../../automation/cli/work-folder.ts";
import { readStackConfig } from "../../../automation/embedded/index.ts";
import { filesOf, PROJECT, Trial } from "./trial.ts";

let trial: Trial;
let work: WorkFolder;
beforeEach(() => {
  trial = new Trial();
  work = new WorkFolder(trial.workFolder, PROJECT);
});
afterEach(() => trial.close());

const config = {
  stack: "one",
  config: { "trial:password": "open sesame", "trial:settings": '{"a":[1]}', "trial:flag": "true" },
  secretKeys: ["trial:password"],
  passphrase: "correct horse",
};

test("the project that the CLI sees points back to the program and its plugins", () => {
  work.writeProject("trial");
  const project = parse(readFileSync(path.join(trial.workFolder, "Pulumi.yaml"), "utf8"));
  expect(project).toMatchObject({
    name: "trial",
    main: path.join(PROJECT, "program.ts"),
    runtime: { name: "nodejs", options: { typescript: false } },
    plugins: { providers: [{ name: "platform", path: path.resolve(PROJECT, "../../../../providers") }] },
  });
});

test("a project without a main file runs from its folder, and its folder of configurations is not the CLI's", () => {
  const root = path.resolve(PROJECT, "../../../..");
  new WorkFolder(trial.workFolder, root).writeProject("llm-platform");
  const project = parse(readFileSync(path.join(trial.workFolder, "Pulumi.yaml"), "utf8"));
  expect(project.main).toBe(root);
  expect(project).not.toHaveProperty("stackConfigDir");
});

test("the configuration holds each value as its text, secrets sealed, for its user alone", async () => {
  const file = await work.writeConfig(config, false);
  expect(path.basename(file)).toBe("Pulumi.one.yaml");
  expect(readFileSync(file, "utf8")).not.toContain("open sesame");
  expect(await readStackConfig(file, "trial", "correct horse")).toEqual({
    config: config.config,
    secretKeys: ["trial:password"],
  });
  expect(statSync(file).mode & 0o077).toBe(0);
  expect(statSync(trial.workFolder).mode & 0o077).toBe(0);
});

test("a later configuration replaces the earlier one and keeps the salt, which tells a wrong passphrase", async () => {
  const first = parse(readFileSync(await work.writeConfig(config, false), "utf8"));
  const file = await work.writeConfig({ ...config, config: { "trial:flag": "false" } }, false);
  expect(parse(readFileSync(file, "utf8"))).toEqual({
    encryptionsalt: first.encryptionsalt,
    config: { "trial:flag": "false" },
  });
  await expect(work.writeConfig({ ...config, passphrase: "wrong" }, false)).rejects.toThrow(
    "incorrect passphrase",
  );
});

test("a preview's configuration leaves that of a run as it is", async () => {
  const run = await work.writeConfig(config, false);
  const before = readFileSync(run, "utf8");
  const preview = await work.writeConfig({ ...config, config: { "trial:flag": "false" } }, true);
  expect(preview).not.toBe(run);
  expect(readFileSync(run, "utf8")).toBe(before);
  expect(parse(readFileSync(preview, "utf8")).config).toEqual({ "trial:flag": "false" });
});

test("only locks of this machine's dead processes are removed", () => {
  const stack = "organization/trial/one";
  const folder = path.join(trial.workFolder, "backend/.pulumi/locks", stack);
  mkdirSync(folder, { recursive: true });
  const dead = 2 ** 22 + 1;
  const locks = {
    dead: { pid: dead, hostname: hostname() },
    living: { pid: process.pid, hostname: hostname() },
    elsewhere: { pid: dead, hostname: `not-${hostname()}` },
  };
  for (const [name, lock] of Object.entries(locks)) {
    writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(lock));
    writeFileSync(path.join(folder, `${name}.json.attrs`), "{}");
  }
  removeDeadLocks(work.backend, stack);
  expect(
    filesOf(folder)
      .map((file) => path.basename(file))
      .sort(),
  ).toEqual(["elsewhere.json", "elsewhere.json.attrs", "living.json", "living.json.attrs"]);
});
