import { ApiError } from "../api/errors.ts";
import type { ModelObject } from "../api/schemas.ts";
import type { Exchange, Gateway } from "../exchange.ts";
import type { Model } from "../upstream/models.ts";

const OWNER = "llm-platform";
// The API wants a time; models have none that would mean anything to a client, so all say when the gateway started.
const CREATED = Math.floor(Date.now() / 1000);

function toModelObject({ name }: Model): ModelObject {
  return { id: name, object: "model", created: CREATED, owned_by: OWNER };
}

/** Answers with all models, chat models first. */
export function listModels(exchange: Exchange, { models }: Gateway): void {
  const list = { object: "list", data: models.list.map(toModelObject) };
  exchange.answer = { kind: "json", body: JSON.stringify(list) };
}

/** Answers with one model. */
export function describeModel(name: string): (exchange: Exchange, gateway: Gateway) => void {
  return function describeOneModel(exchange, { models }) {
    const model = models.find(name);
    exchange.unknownModel = model === undefined;
    if (!model) throw new ApiError("model_not_found", { param: "model" });
    exchange.model = model;
    exchange.answer = { kind: "json", body: JSON.stringify(toModelObject(model)) };
  };
}
