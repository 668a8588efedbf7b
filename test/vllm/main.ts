import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { ENGINE_KEY } from "../services/gateway/sdk/models.ts";
import { EMBEDDER, MODEL } from "../services/gateway/support.ts";
import { installVllm, startEngines } from "./vllm.ts";

// The official clients' suites, with vLLM itself behind the gateway instead of its simulator.
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
// One after the other: they look at how many requests the engine is busy with.
const SUITES = ["test/services/gateway/sdk", "--no-file-parallelism"];

const installed = await installVllm();
if ("missing" in installed) console.log(`vLLM: not checked, ${installed.missing}`);
else process.exitCode = await check(installed.folder);

async function check(folder: string): Promise<number> {
  const engines = await startEngines(folder, {
    chatModel: MODEL,
    embeddingsModel: EMBEDDER,
    apiKey: ENGINE_KEY,
  });
  try {
    const env = {
      ...process.env,
      VLLM_URL: engines.chatUrl,
      VLLM_EMBEDDINGS_URL: engines.embeddingsUrl,
    };
    const tests = spawn(process.execPath, ["test/run.ts", ...SUITES], { cwd: ROOT, env, stdio: "inherit" });
    const [code] = (await once(tests, "exit")) as [number | null];
    return code ?? 1;
  } finally {
    await engines.close();
  }
}
