import { ApiError } from "../api/errors.ts";
import type { ModelConfig } from "../config.ts";
import type { Step } from "../exchange.ts";
import { validated } from "./validate.ts";

/** Finds the model and the replica that has the least to do. */
export function route(task: ModelConfig["task"]): Step {
  return function routeToReplica(exchange, gateway) {
    const { model: name } = validated(exchange);
    const model = gateway.models.find(name);
    exchange.unknownModel = model === undefined;
    if (!model) throw new ApiError("model_not_found", { param: "model" });
    exchange.model = model;
    if (model.task !== task) {
      const message = `This model serves ${model.task}, not ${task}.`;
      throw new ApiError("invalid_request", { message, param: "model" });
    }
    exchange.replica = model.pick(new Set());
  };
}
