import * as pulumi from "@pulumi/pulumi";
import type { Model, ModelTask, Replica } from "./index.ts";

export interface ExternalModelArgs {
  /** As clients name it in their requests, and as the engine at the URLs serves it. */
  model: string;
  task: ModelTask;
  /** Key of the feature flag that decides for whom it is there. Default: it is there for all. */
  flag?: string | undefined;
  /** Base URLs without `/v1`, one per replica. */
  urls: string[];
  /** Bearer token that the engine asks for. Default: none. */
  apiKey?: pulumi.Input<string>;
}

/** A model that runs elsewhere already: any server of OpenAI's API, such as vLLM. The platform only calls it. */
export class ExternalModel extends pulumi.ComponentResource implements Model {
  readonly resourceName: string;
  readonly name: string;
  readonly task: ModelTask;
  readonly flag: string | undefined;
  readonly replicas: pulumi.Output<Replica[]>;
  readonly kind = "real";

  constructor(name: string, args: ExternalModelArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:models:ExternalModel", name, {}, opts);
    this.resourceName = name;
    this.name = args.model;
    this.task = args.task;
    this.flag = args.flag;
    this.replicas = pulumi.secret(
      pulumi
        .output(args.apiKey)
        .apply((apiKey) => args.urls.map((url) => (apiKey ? { url, apiKey } : { url }))),
    );
    this.registerOutputs({ replicas: this.replicas });
  }
}
