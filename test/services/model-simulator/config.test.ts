import { describe, expect, test } from "vitest";
import { readConfig } from "../../../services/model-simulator/config.ts";
import { ConfigError } from "../../../services/shared/environment.ts";

function problems(args: string[], environment: NodeJS.ProcessEnv = {}): string[] {
  try {
    readConfig(args, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("the settings", () => {
  test("have defaults that make a chat feel alive", () => {
    expect(readConfig([], {})).toMatchObject({
      host: "127.0.0.1",
      port: 8000,
      timeToFirstTokenMs: 20,
      timePerOutputTokenMs: 5,
      maxNumSeqs: 256,
      runner: "generate",
      shutdownTimeoutS: 0,
      allowRequestFaults: false,
    });
  });

  test("take several names and adapters after one flag, as vLLM does", () => {
    const config = readConfig(
      ["--served-model-name", "a", "b", "--enable-lora", "--lora-modules", "x=/x", "y=/y", "--port", "0"],
      {},
    );
    expect(config.servedModelNames).toEqual(["a", "b"]);
    expect(config.loraModules.map(({ name }) => name)).toEqual(["x", "y"]);
    expect(config.port).toBe(0);
  });

  test("take the key from the environment, and the flag's instead where one is given", () => {
    expect(readConfig([], { VLLM_API_KEY: "from-environment" }).apiKeys).toEqual(["from-environment"]);
    expect(readConfig(["--api-key", "a", "b"], { VLLM_API_KEY: "c" }).apiKeys).toEqual(["a", "b"]);
  });

  test("are refused all at once, each problem with its field, its value and the remedy", () => {
    const found = problems([
      "--port=-1",
      "--max-num-seqs=many",
      "--sim-fault=status=99",
      "--runner=train",
      "--lora-modules=x",
    ]);
    expect(found).toHaveLength(5);
    expect(found[0]).toBe(
      '--port "-1" is not a whole number from 0 to 65535; give the port to listen on, or 0 for any free one',
    );
    expect(found.join("\n")).toContain("status=<400-599>");
    expect(found.join("\n")).toContain(", unstructured,");
  });

  test("take a fault and its share of requests", () => {
    expect(readConfig(["--sim-fault=unstructured", "--sim-fault-rate=0.5"], {})).toMatchObject({
      fault: { unstructured: true },
      faultRate: 0.5,
    });
  });

  test("are refused, when a flag is unknown or one that another needs is missing", () => {
    expect(problems(["--no-such-flag"])[0]).toContain("--no-such-flag");
    const found = problems(["--enable-auto-tool-choice", "--lora-modules=x=/x"]);
    expect(found.join("\n")).toMatch(/--tool-call-parser.*\n.*--enable-lora/);
  });

  test("are refused without a word of a key", () => {
    expect(problems(["--api-key=top-secret", "--port=x"]).join()).not.toContain("top-secret");
  });
});
