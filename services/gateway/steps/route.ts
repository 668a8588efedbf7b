import { ApiError } from "../api/errors.ts";
import type { ModelConfig } from "../config.ts";
import type { Exchange, Step } from "../exchange.ts";
import type { Model } from "../upstream/models.ts";
import { isThere } from "./flagged.ts";
import { validated } from "./validate.ts";

/** Finds the model and the replica that has the least to do. */
export function route(task: ModelConfig["task"]): Step {
  return function routeToReplica(exchange, gateway) {
    const model = gateway.models.find(validated(exchange).model);
    const there = model !== undefined && isThere(model, exchange, gateway);
    const decide = (exists: boolean) => take(exchange, exists ? model : undefined, task);
    // Only a flag is worth waiting for.
    return there instanceof Promise ? there.then(decide) : decide(there);
  };
}

function take(exchange: Exchange, model: Model | undefined, task: ModelConfig["task"]): void {
  exchange.unknownModel = model === undefined;
  if (!model) throw new ApiError("model_not_found", { param: "model" });
  exchange.model = model;
  if (model.task !== task) {
    const message = `This model serves ${model.task}, not ${task}.`;
    throw new ApiError("invalid_request", { message, param: "model" });
  }
  exchange.replica = model.pick(new Set());
}
