import { ApiError } from "../api/errors.ts";
import type { ModelObject } from "../api/schemas.ts";
import type { Exchange, Gateway, Step } from "../exchange.ts";
import { permitsModel } from "../tenancy/grants.ts";
import type { Model } from "../upstream/models.ts";
import { authenticated } from "./authorise.ts";
import { isThere } from "./flagged.ts";

const OWNER = "llm-platform";
// The API wants a time; models have none that would mean anything to a client, so all say when the gateway started.
const CREATED = Math.floor(Date.now() / 1000);

function toModelObject({ name }: Model): ModelObject {
  return { id: name, object: "model", created: CREATED, owned_by: OWNER };
}

/** Answers with all models that this user may use, chat models first. */
export async function listModels(exchange: Exchange, gateway: Gateway): Promise<void> {
  const principal = authenticated(exchange);
  const all = gateway.models.list.filter(({ name }) => permitsModel(principal, name));
  const there = await Promise.all(all.map((model) => isThere(model, exchange, gateway)));
  const list = { object: "list", data: all.filter((_, index) => there[index]).map(toModelObject) };
  exchange.answer = { kind: "json", status: 200, body: JSON.stringify(list) };
}

/** Answers with one model. */
export function describeModel(name: string): Step {
  return async function describeOneModel(exchange, gateway) {
    const model = permitsModel(authenticated(exchange), name) ? gateway.models.find(name) : undefined;
    const there = model !== undefined && (await isThere(model, exchange, gateway));
    exchange.unknownModel = !there;
    if (!there) throw new ApiError("model_not_found", { param: "model" });
    exchange.model = model;
    exchange.answer = { kind: "json", status: 200, body: JSON.stringify(toModelObject(model)) };
  };
}
