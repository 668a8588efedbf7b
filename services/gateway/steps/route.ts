import { ApiError } from "../api/errors.ts";
import type { ModelConfig } from "../config.ts";
import { SENSITIVITY_HEADER, TASK_HEADER } from "../contract.ts";
import type { Exchange, Gateway, Step } from "../exchange.ts";
import { hashText } from "../routing/affinity.ts";
import { promptStart, TASKS } from "../routing/complexity.ts";
import { raised } from "../routing/hybrid.ts";
import { allowedRegions } from "../routing/residency.ts";
import type { Target } from "../routing/targets.ts";
import { permitsModel } from "../tenancy/grants.ts";
import { type Principal, SENSITIVITIES } from "../tenancy/principal.ts";
import type { Choice, Model } from "../upstream/models.ts";
import { authenticated } from "./authorise.ts";
import { isThere } from "./flagged.ts";
import { validated } from "./validate.ts";

/** Which backends a request may be sent to, in which order. */
export interface Route extends Choice {
  /** Models that are asked in turn, each of which may see the request. */
  readonly models: readonly Model[];
}

/** Finds the models that may answer: what the name stands for, and its fallbacks, within the tenant's regions. */
export function route(task: ModelConfig["task"]): Step {
  return function routeToModels(exchange, gateway) {
    const target = gateway.models.find(validated(exchange).model);
    const there = target !== undefined && isThere(target, exchange, gateway);
    const decide = (exists: boolean) =>
      take(exchange, gateway, checked(exchange, exists ? target : undefined, task));
    // Only a flag is worth waiting for.
    return there instanceof Promise ? there.then(decide) : decide(there);
  };
}

function checked(exchange: Exchange, target: Target | undefined, task: ModelConfig["task"]): Target {
  exchange.unknownModel = target === undefined;
  if (!target) throw new ApiError("model_not_found", { param: "model" });
  exchange.model = target.models[0];
  if (target.task === task) return target;
  const message = `This model serves ${target.task}, not ${task}.`;
  throw new ApiError("invalid_request", { message, param: "model" });
}

function take(exchange: Exchange, { settings }: Gateway, target: Target): void {
  const principal = authenticated(exchange);
  const incoming = exchange.request;
  const { tenant } = principal;
  const request = validated(exchange);
  const sensitivity = raised(tenant.sensitivity, oneOf(incoming.headers, SENSITIVITY_HEADER, SENSITIVITIES));
  const task = oneOf(incoming.headers, TASK_HEADER, TASKS);
  const allowed = allowedRegions(tenant, settings.residency);
  const localOnly = sensitivity === "high";
  const model = target.choose({ request, tenant, sensitivity, task, allowed, localOnly });
  if (!model) throw nowhere(localOnly);
  exchange.model = model;
  const { enabled, prefixCharacters, loadFactor } = settings.affinity;
  const hashed = enabled && model.replicas.length > 1;
  exchange.route = {
    models: usable(model, principal, { allowed, localOnly }),
    allowed,
    localOnly,
    prompt: hashed ? hashText(promptStart(request, prefixCharacters)) : undefined,
    loadFactor,
  };
}

/** The model and those of its fallbacks that this caller may use and that may see the request. */
function usable(
  model: Model,
  principal: Principal,
  where: Pick<Choice, "allowed" | "localOnly">,
): readonly Model[] {
  const { chain } = model;
  const unbound = where.allowed === undefined && !where.localOnly;
  if (chain.length === 1 || (unbound && principal.models === undefined)) return chain;
  return chain.filter((link) => link.serves(where) && (link === model || permitsModel(principal, link.name)));
}

function nowhere(localOnly: boolean): ApiError {
  const message = localOnly
    ? "Requests of this sensitivity may not be sent to any backend of this model."
    : "No backend of this model is in a region to which this tenant's data may go.";
  return new ApiError("permission", { message, param: "model" });
}

function oneOf<T extends string>(
  headers: Exchange["request"]["headers"],
  name: string,
  values: readonly T[],
): T | undefined {
  const given = headers[name];
  if (given === undefined) return undefined;
  const value = values.find((candidate) => candidate === given);
  if (value !== undefined) return value;
  const message = `The header '${name}' must be one of: ${values.join(", ")}.`;
  throw new ApiError("invalid_request", { message, param: name });
}
