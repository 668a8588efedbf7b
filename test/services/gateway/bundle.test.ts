import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { bundleService } from "../../../services/shared/bundle.ts";
import { BETA, FLAG, flagFor, flagged } from "./flags.ts";
import { startGatewayProcess } from "./process.ts";
import { chatBody, MODEL, post, startReplica } from "./support.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const SOURCES = ["services", "package.json", "tsconfig.json"];

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bundle-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("the gateway's bundle", () => {
  test("is one file that chats with nothing beside it", async () => {
    const replica = await startReplica();
    onTestFinished(replica.close);
    const file = join(folder, "gateway.mjs");
    await bundleService("gateway", file);
    const env = {
      ...(await flagged(replica.url, { [FLAG]: flagFor("tenant", "acme") })),
      GATEWAY_REDIS_URL: "redis://127.0.0.1:1",
      GATEWAY_DATABASE_URL: "postgresql://u@127.0.0.1:1/d",
    };
    const { url, signal, exited } = await startGatewayProcess({
      program: [file],
      cwd: folder,
      replicas: [replica.url],
      env,
      settings: { cost: { prices: { [MODEL]: { promptUsd: 1 }, [BETA]: { promptUsd: 1 } } } },
    });
    onTestFinished(() => signal("SIGKILL"));
    const stream = await post(url, { body: chatBody({ stream: true }) });
    expect((await stream.text()).endsWith("data: [DONE]\n\n")).toBe(true);
    expect(await (await post(url)).json()).toMatchObject({ model: MODEL });
    expect((await post(url, { body: chatBody({ model: BETA }) })).status).toBe(200);
    signal("SIGTERM");
    expect(await exited).toBe(0);
  });
});

describe.each(["gateway", "model-simulator"])("two bundles of %s", (service) => {
  async function bundleOfCopy(checkout: string): Promise<Buffer> {
    for (const name of SOURCES) await cp(join(ROOT, name), join(checkout, name), { recursive: true });
    await symlink(join(ROOT, "node_modules"), join(checkout, "node_modules"), "dir");
    const file = join(checkout, `${service}.mjs`);
    const program = join(checkout, "services/shared/bundle.ts");
    await promisify(execFile)(process.execPath, [program, service, file], { cwd: folder });
    return readFile(file);
  }

  test("are the same bytes, when their sources lie in different folders, and carry no bundler", async () => {
    const one = await bundleOfCopy(join(folder, service));
    const two = await bundleOfCopy(join(folder, "another/place/for", service));
    expect(one.equals(two)).toBe(true);
    expect(one.length).toBeGreaterThan(100_000);
    expect(one.includes("node_modules/esbuild/")).toBe(false);
    expect(one.includes(folder)).toBe(false);
  });
});
