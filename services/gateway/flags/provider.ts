import { FlagdCore } from "@openfeature/flagd-core";
import type {
  EvaluationContext,
  JsonValue,
  Logger,
  Provider,
  ResolutionDetails,
} from "@openfeature/server-sdk";

const silent = () => undefined;
/** Both libraries write to the console by default, for each request whose flag cannot be evaluated. */
export const QUIET: Logger = { error: silent, warn: silent, info: silent, debug: silent };

/** Evaluates flagd's flag definitions in this process. */
export class FlagdProvider implements Provider {
  readonly metadata = { name: "flagd-core" };
  readonly runsOn = "server";
  readonly #core = new FlagdCore(undefined, QUIET);

  /** @param definitions JSON text */
  constructor(definitions: string) {
    this.#core.setConfigurations(definitions);
  }

  async resolveBooleanEvaluation(
    key: string,
    fallback: boolean,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<boolean>> {
    return this.#core.resolveBooleanEvaluation(key, fallback, context);
  }

  async resolveStringEvaluation(
    key: string,
    fallback: string,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<string>> {
    return this.#core.resolveStringEvaluation(key, fallback, context);
  }

  async resolveNumberEvaluation(
    key: string,
    fallback: number,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<number>> {
    return this.#core.resolveNumberEvaluation(key, fallback, context);
  }

  async resolveObjectEvaluation<T extends JsonValue>(
    key: string,
    fallback: T,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<T>> {
    return this.#core.resolveObjectEvaluation(key, fallback, context);
  }
}
