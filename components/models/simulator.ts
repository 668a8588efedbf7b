import * as pulumi from "@pulumi/pulumi";
import { portPlaceholder } from "../../providers/process/resource.ts";
import { type LocalHost, localProcess } from "../shared/local-service.ts";
import { NODE } from "../shared/source.ts";
import type { Model, ModelTask, Replica } from "./index.ts";

const PORT = "MODEL_PORT";
/** Seconds that open answers get to finish, and a little more until the process is killed. */
const SHUTDOWN_SECONDS = 30;
const DRAIN_SECONDS = SHUTDOWN_SECONDS + 5;
/** vLLM reads its key from here, too: a command line is open to every user of the machine. */
const API_KEY = "VLLM_API_KEY";

export interface SimulatedModelArgs {
  host: LocalHost;
  /** Absolute path of the release's simulator, one file that runs with Node.js alone. */
  bundle: string;
  /** As clients name it in their requests. */
  model: string;
  task: ModelTask;
  /** Key of the feature flag that decides for whom it is there. Default: it is there for all. */
  flag?: string | undefined;
  /** Processes that serve the model; each has its own batch slots. */
  replicas: number;
  /** What the gateway shows to be let in. */
  apiKey: pulumi.Input<string>;
  /** Milliseconds until the first token of an answer. Default: the simulator's. */
  timeToFirstTokenMs?: number;
  /** Milliseconds for every further token. Default: the simulator's. */
  timePerOutputTokenMs?: number;
  /** Requests that a replica works on at the same time; more wait in its queue. Default: the simulator's. */
  maxNumSeqs?: number;
  /** Usual length of an answer in tokens. Default: the simulator's. */
  answerTokens?: number;
  /** What goes wrong, in the simulator's words. Default: nothing. */
  fault?: string;
  /** Share of the requests that the fault hits. Default: all. */
  faultRate?: number;
}

/** A model service that speaks vLLM's API and makes its answers up: no GPU, no weights, no meaning. */
export class SimulatedModel extends pulumi.ComponentResource implements Model {
  readonly resourceName: string;
  readonly name: string;
  readonly task: ModelTask;
  readonly flag: string | undefined;
  readonly replicas: pulumi.Output<Replica[]>;
  readonly kind = "embedded";

  constructor(name: string, args: SimulatedModelArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:models:SimulatedModel", name, {}, opts);
    this.resourceName = name;
    this.name = args.model;
    this.task = args.task;
    this.flag = args.flag;
    const replicas = Array.from({ length: args.replicas }, (_, index) =>
      localProcess(
        `${name}-${index}`,
        {
          host: args.host,
          command: [NODE, args.bundle, ...simulatorArguments(args)],
          ports: { [PORT]: 0 },
          environment: { [API_KEY]: args.apiKey },
          healthUrl: `http://127.0.0.1:${portPlaceholder(PORT)}/health`,
          drainSeconds: DRAIN_SECONDS,
        },
        { parent: this },
      ).ports.apply((ports) => `http://127.0.0.1:${ports[PORT]}`),
    );
    this.replicas = pulumi.secret(
      pulumi
        .all([args.apiKey, ...replicas])
        .apply(([apiKey, ...urls]) => urls.map((url) => ({ url, apiKey }))),
    );
    this.registerOutputs({ replicas: this.replicas });
  }
}

/** The command line, in vLLM's own flags; figures that are left out stay the simulator's. */
function simulatorArguments(args: SimulatedModelArgs): string[] {
  // Without a timeout vLLM leaves open streams silent when it is told to end.
  const flags: Record<string, string | number | undefined> = {
    "--port": portPlaceholder(PORT),
    "--served-model-name": args.model,
    "--runner": args.task === "embeddings" ? "pooling" : "generate",
    "--max-num-seqs": args.maxNumSeqs,
    "--shutdown-timeout": SHUTDOWN_SECONDS,
    "--sim-time-to-first-token-ms": args.timeToFirstTokenMs,
    "--sim-time-per-output-token-ms": args.timePerOutputTokenMs,
    "--sim-answer-tokens": args.answerTokens,
    "--sim-fault": args.fault,
    "--sim-fault-rate": args.faultRate,
  };
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  const tools = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"];
  return [...given.flatMap(([flag, value]) => [flag, String(value)]), ...tools];
}
