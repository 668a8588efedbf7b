import { ApiError } from "../api/errors.ts";
import type { ModelObject } from "../api/schemas.ts";
import type { Exchange, Gateway, Step } from "../exchange.ts";
import type { Target } from "../routing/targets.ts";
import { permitsModel } from "../tenancy/grants.ts";
import { authenticated } from "./authorise.ts";
import { isThere } from "./flagged.ts";

const OWNER = "llm-platform";
// The API wants a time; models have none that would mean anything to a client, so all say when the gateway started.
const CREATED = Math.floor(Date.now() / 1000);

function toModelObject({ name }: Target): ModelObject {
  return { id: name, object: "model", created: CREATED, owned_by: OWNER };
}

/** Answers with all names that this user may use: models, chat models first, then what routing adds. */
export async function listModels(exchange: Exchange, gateway: Gateway): Promise<void> {
  const principal = authenticated(exchange);
  const all = gateway.models.targets.filter(({ name }) => permitsModel(principal, name));
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
    exchange.model = model.models[0];
    exchange.answer = { kind: "json", status: 200, body: JSON.stringify(toModelObject(model)) };
  };
}
