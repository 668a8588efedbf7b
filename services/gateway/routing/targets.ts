import type { InferenceRequest } from "../exchange.ts";
import type { Settings } from "../settings.ts";
import type { Sensitivity, Tenant } from "../tenancy/principal.ts";
import type { Choice, Model } from "../upstream/models.ts";
import { classify, complexityOf, type TaskKind } from "./complexity.ts";
import { ownValue } from "./entries.ts";
import { hybridSide } from "./hybrid.ts";

/** What decides which model answers for a name. */
export interface Query extends Pick<Choice, "allowed" | "localOnly"> {
  readonly request: InferenceRequest;
  readonly tenant: Tenant;
  /** The tenant's, or what the request raised it to. */
  readonly sensitivity: Sensitivity;
  /** What the client says the request is; undefined to find out. */
  readonly task: TaskKind | undefined;
}

/** A name that clients may use. */
export interface Target {
  readonly name: string;
  readonly task: Model["task"];
  /** The flag that decides for whom it exists; undefined where it exists for all. */
  readonly flag: string | undefined;
  /** All models that may answer for it first. */
  readonly models: readonly Model[];
  /** The model that is asked first; undefined where none of them may see the request. */
  choose(query: Query): Model | undefined;
}

class Direct implements Target {
  readonly name: string;
  readonly task: Model["task"];
  readonly flag: string | undefined;
  readonly models: readonly [Model];

  constructor(model: Model) {
    this.name = model.name;
    this.flag = model.flag;
    this.task = model.task;
    this.models = [model];
  }

  choose(query: Query): Model | undefined {
    const [model] = this.models;
    // What may not see the request may have a fallback that may.
    return model.chain.some((link) => link.serves(query)) ? model : undefined;
  }
}

interface Part {
  readonly target: Target;
  readonly weight: number;
}

abstract class Virtual implements Target {
  readonly name: string;
  readonly task: Model["task"];
  // Settings that lead from here to a model behind a flag are refused.
  readonly flag: undefined;
  readonly models: readonly Model[];

  constructor(name: string, parts: readonly Target[]) {
    this.name = name;
    this.models = [...new Set(parts.flatMap(({ models }) => models))];
    this.task = this.models[0]?.task ?? "chat";
  }

  abstract choose(query: Query): Model | undefined;
}

class Weighted extends Virtual {
  readonly #parts: readonly Part[];

  constructor(name: string, parts: readonly Part[]) {
    super(
      name,
      parts.map(({ target }) => target),
    );
    this.#parts = parts;
  }

  choose(query: Query): Model | undefined {
    let chosen: Model | undefined;
    let total = 0;
    // One pass: each that may answer takes over with its share of the weights so far.
    for (const { target, weight } of this.#parts) {
      const model = target.choose(query);
      if (!model) continue;
      total += weight;
      if (Math.random() * total < weight) chosen = model;
    }
    return chosen;
  }
}

class ByTask extends Virtual {
  readonly #kinds: Readonly<Record<TaskKind, Target>>;
  readonly #complexAbove: number;

  constructor(name: string, kinds: Readonly<Record<TaskKind, Target>>, complexAbove: number) {
    super(name, Object.values(kinds));
    this.#kinds = kinds;
    this.#complexAbove = complexAbove;
  }

  choose(query: Query): Model | undefined {
    return this.#kinds[query.task ?? classify(query.request, this.#complexAbove)].choose(query);
  }
}

type HybridFigures = Settings["routing"]["hybrid"][string];

class Hybrid extends Virtual {
  readonly #local: Target;
  readonly #external: Target;
  readonly #figures: HybridFigures;

  constructor(name: string, sides: Readonly<Record<"local" | "external", Target>>, figures: HybridFigures) {
    super(name, [sides.local, sides.external]);
    this.#local = sides.local;
    this.#external = sides.external;
    this.#figures = figures;
  }

  choose(query: Query): Model | undefined {
    const { sensitivity, tenant, request } = query;
    const side = hybridSide(
      {
        sensitivity,
        tier: tenant.tier,
        complexity: complexityOf(request),
        load: busyShare(this.#local.models),
        draw: Math.random(),
      },
      this.#figures,
    );
    const [first, second] = side === "local" ? [this.#local, this.#external] : [this.#external, this.#local];
    // Where one side may not see the request, for its region, the other one answers.
    return first.choose(query) ?? second.choose(query);
  }
}

function busyShare(models: readonly Model[]): number {
  let outstanding = 0;
  let capacity = 0;
  for (const model of models) {
    outstanding += model.outstanding;
    capacity += model.capacity ?? 0;
  }
  return capacity === 0 ? 0 : outstanding / capacity;
}

/** All names of checked settings, those of the models first. */
export function targetsOf({ routing }: Settings, models: readonly Model[]): Target[] {
  const found = new Map<string, Target>(models.map((model) => [model.name, new Direct(model)]));
  const get = (name: string): Target => {
    const known = found.get(name) ?? make(name);
    found.set(name, known);
    return known;
  };
  const make = (name: string): Target => {
    const alias = ownValue(routing.aliases, name);
    if (typeof alias === "string") return new Weighted(name, [{ target: get(alias), weight: 1 }]);
    if (alias) {
      return new Weighted(
        name,
        alias.map(({ model, weight }) => ({ target: get(model), weight })),
      );
    }
    const task = ownValue(routing.tasks, name);
    if (task) {
      const kinds = { simple: get(task.simple), complex: get(task.complex), code: get(task.code) };
      return new ByTask(name, kinds, task.complexAbove);
    }
    const hybrid = ownValue(routing.hybrid, name);
    if (!hybrid) throw new Error("routing settings must be checked before they are used");
    return new Hybrid(name, { local: get(hybrid.local), external: get(hybrid.external) }, hybrid);
  };
  for (const names of [routing.aliases, routing.tasks, routing.hybrid]) Object.keys(names).forEach(get);
  return [...found.values()];
}
