import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Crypter } from "../../../automation/embedded/crypter.ts";
import { readStackConfig } from "../../../automation/embedded/index.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "config-"));
  file = path.join(folder, "Pulumi.demo.yaml");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = (text: string) => {
  writeFileSync(file, text);
  return readStackConfig(file, "demo", "correct horse");
};

describe("a stack's configuration file", () => {
  test("gives texts and numbers as they are, lists and objects as JSON, names with their project", async () => {
    const { config, secretKeys } = await read(
      "config:\n  demo:a: x\n  b: 7\n  demo:c:\n    list: [1, two]\n",
    );
    expect(config).toEqual({ "demo:a": "x", "demo:b": "7", "demo:c": '{"list":[1,"two"]}' });
    expect(secretKeys).toEqual([]);
  });

  test("may be empty", async () => {
    expect(await read("")).toEqual({ config: {}, secretKeys: [] });
  });

  test("opens secrets, also inside of lists and objects, and names their keys", async () => {
    const crypter = await Crypter.create("correct horse");
    const { config, secretKeys } = await read(
      [
        `encryptionsalt: ${crypter.salt}`,
        "config:",
        "  demo:open: seen",
        `  demo:token: {secure: "${crypter.encrypt("hunter2")}"}`,
        `  demo:models: [{name: m, apiKey: {secure: "${crypter.encrypt("k3y")}"}}]`,
      ].join("\n"),
    );
    expect(config).toEqual({
      "demo:open": "seen",
      "demo:token": "hunter2",
      "demo:models": '[{"name":"m","apiKey":"k3y"}]',
    });
    expect(secretKeys).toEqual(["demo:token", "demo:models"]);
  });

  test("opens what the Pulumi CLI itself has sealed", async () => {
    const fixture = path.resolve(import.meta.dirname, "../../fixtures/pulumi-cli/Pulumi.demo.yaml");
    const { config, secretKeys } = await readStackConfig(fixture, "demo", "correct horse");
    expect(config).toEqual({
      "demo:open": "seen",
      "demo:token": "hunter2",
      "demo:models": '[{"apiKey":"k3y"}]',
    });
    expect(secretKeys.sort()).toEqual(["demo:models", "demo:token"]);
  });

  test("is refused with its name when it is missing", async () => {
    await expect(readStackConfig(file, "demo", "")).rejects.toThrow(`${file} does not exist.\nremedy:`);
  });

  test.each([
    ["it is no YAML", "config: ["],
    ["it has an unknown section", "configuration: {}"],
    ["a secret has no salt to open it with", 'config: {a: {secure: "v1:x:y"}}'],
  ])("is refused with its name when %s", async (_why, text) => {
    await expect(read(text)).rejects.toThrow(file);
  });

  test("is refused when its secrets were sealed with another passphrase", async () => {
    const crypter = await Crypter.create("another");
    const sealed = `config:\n  demo:token:\n    secure: ${crypter.encrypt("t")}\n`;
    await expect(read(`encryptionsalt: ${crypter.salt}\n${sealed}`)).rejects.toThrow(
      /holds secrets that cannot be opened: incorrect passphrase.*\nremedy:/,
    );
  });

  test("is read when it has the salt of other states and no secrets, as `pulumi stack init` leaves it", async () => {
    const crypter = await Crypter.create("another");
    const { config } = await read(`encryptionsalt: ${crypter.salt}\nconfig:\n  demo:size: 3\n`);
    expect(config).toEqual({ "demo:size": "3" });
  });
});
