import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  changesBetween,
  keepSnapshot,
  openSnapshot,
  pruneSnapshots,
  type SnapshotSource,
} from "../../release/snapshot.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "snapshots-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function source(changes: { gateway?: string; prompt?: string; revision?: string } = {}): SnapshotSource {
  return {
    parts: {
      gateway: { file: "gateway.mjs", content: changes.gateway ?? "code" },
      "prompts/support": { file: "prompts/support.yaml", content: changes.prompt ?? "be kind" },
    },
    models: [{ name: "m", revision: changes.revision ?? "1" }],
  };
}

describe("a snapshot", () => {
  test("of the same content has the same id and is kept once", () => {
    const first = keepSnapshot(folder, source());
    expect(keepSnapshot(folder, source()).id).toBe(first.id);
    expect(readdirSync(folder)).toEqual([first.id]);
  });

  test("does not depend on the order of its parts", () => {
    const { parts, models } = source();
    const reversed = Object.fromEntries(Object.entries(parts).reverse());
    expect(keepSnapshot(folder, { parts: reversed, models }).id).toBe(keepSnapshot(folder, source()).id);
  });

  test.each([
    ["code", { gateway: "other code" }],
    ["a prompt", { prompt: "be kinder" }],
    ["a model's revision", { revision: "2" }],
  ])("with another %s has another id", (_name, changes) => {
    expect(keepSnapshot(folder, source(changes)).id).not.toBe(keepSnapshot(folder, source()).id);
  });

  test("opens with all its files as they were", () => {
    const { id } = keepSnapshot(folder, source());
    const opened = openSnapshot(folder, id);
    expect(readFileSync(path.join(opened.folder, "prompts/support.yaml"), "utf8")).toBe("be kind");
    expect(opened.manifest.models).toEqual([{ name: "m", revision: "1" }]);
  });

  test("whose file was changed is refused by name, until the same release is kept anew", () => {
    const { id, folder: kept } = keepSnapshot(folder, source());
    chmodSync(path.join(kept, "gateway.mjs"), 0o600);
    writeFileSync(path.join(kept, "gateway.mjs"), "evil");
    expect(() => openSnapshot(folder, id)).toThrow(/has a changed or missing file, gateway\.mjs\.\nremedy:/);
    expect(keepSnapshot(folder, source()).id).toBe(id);
    expect(readFileSync(path.join(openSnapshot(folder, id).folder, "gateway.mjs"), "utf8")).toBe("code");
    expect(readdirSync(folder)).toEqual([id]);
  });

  test("whose manifest was changed is refused: its name is its content", () => {
    const { id, folder: kept } = keepSnapshot(folder, source());
    const file = path.join(kept, "release.json");
    const text = readFileSync(file, "utf8").replace('"revision": "1"', '"revision": "2"');
    chmodSync(file, 0o600);
    writeFileSync(file, text);
    expect(() => openSnapshot(folder, id)).toThrow(/it was changed/);
  });

  test("that is not there is refused with a remedy", () => {
    expect(() => openSnapshot(folder, "0123456789ab")).toThrow(/is not there\.\nremedy:/);
  });
});

describe("kept snapshots", () => {
  test("that nobody needs are removed with what a crash left behind, the others stay whole", () => {
    const [old, recent] = [keepSnapshot(folder, source()), keepSnapshot(folder, source({ revision: "2" }))];
    mkdirSync(path.join(folder, ".draft-abc"));
    pruneSnapshots(folder, new Set([recent.id]));
    expect(readdirSync(folder)).toEqual([recent.id]);
    expect(openSnapshot(folder, recent.id).id).toBe(recent.id);
    expect(() => openSnapshot(folder, old.id)).toThrow(/is not there/);
  });
});

describe("the changes between two snapshots", () => {
  const manifest = (changes = {}) => keepSnapshot(folder, source(changes)).manifest;

  test("name parts and models", () => {
    expect(changesBetween(manifest(), manifest({ gateway: "new", revision: "2" }))).toEqual([
      "gateway",
      "model m",
    ]);
    expect(changesBetween(manifest(), manifest())).toEqual([]);
    expect(changesBetween(undefined, manifest())).toEqual(["first release"]);
  });
});
