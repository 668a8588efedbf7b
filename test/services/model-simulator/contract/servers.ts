import { readConfig, type SimulatorConfig } from "../../../../services/model-simulator/config.ts";

// The recorded model never ends its answer by itself and answered as fast as it could.
const LIKE_RECORDED = [
  "--port=0",
  "--block-size=128",
  "--sim-answer-tokens=1000000",
  "--sim-time-to-first-token-ms=0",
  "--sim-time-per-output-token-ms=0",
  "--sim-allow-request-faults",
];
const TINY = [...LIKE_RECORDED, "--model=/models/tiny", "--served-model-name=tiny", "--max-model-len=512"];
const KEYED = [
  ...TINY,
  "--api-key=sekret",
  "--enable-auto-tool-choice",
  "--tool-call-parser=hermes",
  "--enable-request-id-headers",
  "--enable-prompt-tokens-details",
  "--enable-server-load-tracking",
  "--enable-lora",
  "--max-num-seqs=8",
];

/** The flags of each recorded server, by the recordings' README. */
const FLAGS = {
  plain: TINY,
  keyed: KEYED,
  overloaded: [...TINY, "--max-num-seqs=2", "--max-num-queued-reqs=3"],
  interval: [...TINY, "--stream-interval=4", "--enable-force-include-usage"],
  draining: [...KEYED, "--shutdown-timeout=20"],
  pooling: [
    ...LIKE_RECORDED,
    "--runner=pooling",
    "--model=/models/minilm",
    "--served-model-name=minilm",
    "--max-model-len=256",
    "--sim-max-characters-per-token=18",
  ],
};

export type ServerName = keyof typeof FLAGS;

export function serverConfig(name: ServerName, extra: readonly string[] = []): SimulatorConfig {
  return readConfig([...FLAGS[name], ...extra], {
    VLLM_ALLOW_RUNTIME_LORA_UPDATING: name === "keyed" ? "1" : "0",
  });
}
