import type { EngineEvent, StepEventMetadata } from "@pulumi/pulumi/automation/index.js";
import { isSecret, mapValues, type Properties, UNKNOWN } from "../embedded/values.ts";
import type { Operation, RunEvent, StepSummary } from "../index.ts";

/** Pulumi's operations in our names. What only announces other steps (`replace`) is none of its own. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  create: "create",
  "create-replacement": "create-replacement",
  delete: "delete",
  "delete-replaced": "delete-replaced",
  discard: "discard",
  "discard-replaced": "discard-replaced",
  import: "import",
  "import-replacement": "import-replacement",
  read: "read",
  "read-replacement": "read-replacement",
  refresh: "refresh",
  "remove-pending-replace": "remove-pending-replace",
  same: "same",
  update: "update",
};

const ROOT_TYPE = "pulumi:pulumi:Stack";
const typeOf = (urn: string): string => urn.split("::")[2]?.split("$").at(-1) ?? "";
const nameOf = (urn: string): string => urn.split("::").slice(3).join("::");

/** A masked secret says only that it is one. */
const withoutMasks = (outputs: Properties): Properties =>
  mapValues(outputs, (value) => (isSecret(value) ? { ...value, value: UNKNOWN } : value)) as Properties;

type About = Omit<StepSummary, "milliseconds">;

export interface RecorderSettings {
  onEvent?: ((event: RunEvent) => void) | undefined;
  /** Blots secrets out of messages. */
  mask: (text: string) => string;
}

/** Turns what the engine tells of one run into our events, steps and problems. */
export class RunRecorder {
  readonly steps: StepSummary[] = [];
  /** The stack's outputs. The engine masks secrets, so their values are unknown here. */
  outputs: Properties = {};
  readonly #onEvent: (event: RunEvent) => void;
  readonly #mask: (text: string) => string;
  readonly #started = new Map<string, number[]>();
  readonly #errors: { urn: string; message: string }[] = [];

  constructor({ onEvent = () => {}, mask }: RecorderSettings) {
    this.#onEvent = onEvent;
    this.#mask = mask;
  }

  /** What went wrong, each with its resource; the engine's closing remark counts only when nothing else does. */
  get problems(): string[] {
    const specific = this.#errors.filter(({ urn }) => urn !== "" && typeOf(urn) !== ROOT_TYPE);
    const general = this.#errors.filter((error) => !specific.includes(error));
    const telling = general.filter(
      ({ message }) => !/^(update|preview|refresh|destroy) failed$/.test(message),
    );
    const problems = [
      ...specific.map(({ urn, message }) => `${nameOf(urn)} (${typeOf(urn)}): ${message}`),
      ...telling.map(({ message }) => message),
    ];
    return [...new Set(problems)];
  }

  receive(event: EngineEvent): void {
    if (event.diagnosticEvent) this.#diagnose(event.diagnosticEvent);
    if (event.resourcePreEvent) this.#start(event.resourcePreEvent.metadata);
    if (event.resOutputsEvent) this.#finish(event.resOutputsEvent.metadata);
    if (event.resOpFailedEvent) this.#fail(event.resOpFailedEvent.metadata);
  }

  #diagnose({ severity, urn = "", message }: NonNullable<EngineEvent["diagnosticEvent"]>): void {
    const text = this.#mask(message.trim());
    if (severity === "warning") this.#onEvent({ kind: "warning", urn, message: text });
    if (severity === "error") this.#errors.push({ urn, message: text });
  }

  #start({ op, urn, type }: StepEventMetadata): void {
    const operation = OPERATIONS[op];
    if (!operation) return;
    const key = `${operation} ${urn}`;
    this.#started.set(key, [...(this.#started.get(key) ?? []), performance.now()]);
    this.#onEvent({ kind: "step-started", operation, urn, type, name: nameOf(urn) });
  }

  #finish(metadata: StepEventMetadata): void {
    if (metadata.type === ROOT_TYPE && metadata.new) this.outputs = withoutMasks(metadata.new.outputs);
    const ended = this.#end(metadata);
    if (!ended) return;
    this.steps.push(ended);
    this.#onEvent({ kind: "step-finished", ...ended });
  }

  #fail(metadata: StepEventMetadata): void {
    const ended = this.#end(metadata);
    if (!ended) return;
    const { milliseconds: _, ...about } = ended;
    const error = this.#errors.findLast(({ urn }) => urn === about.urn);
    this.#onEvent({ kind: "step-failed", ...about, message: error?.message ?? `${about.operation} failed` });
  }

  /** Finds the step that an event ends; none where it repeats an end, as registered outputs do. */
  #end({ op, urn, type }: StepEventMetadata): StepSummary | undefined {
    // A refresh ends under the name of what it found: nothing new, a change or a deletion.
    const candidates = [OPERATIONS[op], "refresh" as const].filter((operation) => operation !== undefined);
    for (const operation of candidates) {
      const start = this.#started.get(`${operation} ${urn}`)?.shift();
      if (start === undefined) continue;
      const about: About = { operation, urn, type, name: nameOf(urn) };
      return { ...about, milliseconds: Math.round(performance.now() - start) };
    }
    return undefined;
  }
}
