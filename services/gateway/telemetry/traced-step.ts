import { ApiError } from "../api/errors.ts";
import type { Step } from "../exchange.ts";
import type { RequestTrace } from "./request-trace.ts";

// Steps are named by what they do to a request; a bundler may put a number behind a name.
const NAMES: Readonly<Record<string, string>> = {
  authoriseAction: "authorise",
  validateRequest: "validate",
  routeToModels: "route",
  infer: "inference",
};
// They take no time worth telling.
const UNTOLD: ReadonlySet<string> = new Set(["requestId", "authoriseModel", "offerFeedback"]);

/** A step as one span of a request that is traced. */
export function traced(step: Step, trace: RequestTrace): Step {
  const name = step.name.replace(/\d+$/, "");
  if (UNTOLD.has(name)) return step;
  return async function tracedStep(exchange, gateway) {
    trace.enter(NAMES[name] ?? name);
    try {
      await step(exchange, gateway);
      // A stream goes on when its step is done.
      if (exchange.answer?.kind !== "stream") trace.attempted(undefined);
      trace.leave();
    } catch (error) {
      trace.attempted(exchange.failure?.reason);
      trace.leave(error instanceof ApiError ? error.errorName : "server_error");
      throw error;
    }
  };
}
