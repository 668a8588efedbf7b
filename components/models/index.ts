import type * as pulumi from "@pulumi/pulumi";

export type ModelTask = "chat" | "embeddings";

/** One address that serves a model over OpenAI's API. */
export interface Replica {
  /** Base URL without `/v1`. */
  readonly url: string;
  /** Bearer token that the engine asks for. Default: none. */
  readonly apiKey?: string;
}

/** What every model service offers, whatever engine runs it. */
export interface Model {
  /** Name of the resource; its replicas are `${resourceName}-0` and so on. */
  readonly resourceName: string;
  /** As clients name it in their requests. */
  readonly name: string;
  readonly task: ModelTask;
  /** Key of the feature flag that decides for whom it is there. Default: it is there for all. */
  readonly flag?: string | undefined;
  /** Secret, as the keys are part of it. */
  readonly replicas: pulumi.Output<Replica[]>;
  /** Whether a real engine answers, or the embedded simulator. */
  readonly kind: "real" | "embedded";
}
