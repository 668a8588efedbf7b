import type { ConfigProblem } from "../config-error.ts";
import type { Credentials } from "../providers/settings.ts";
import type { Settings } from "../settings.ts";
import { concurrencyOf } from "./entries.ts";
import type { ModelEntry } from "./settings.ts";

type Task = "chat" | "embeddings";

/** What routing settings may refer to. */
export interface RoutingSurroundings {
  /** The platform's own models. */
  readonly models: readonly {
    readonly name: string;
    readonly task: Task;
    readonly flag?: string | undefined;
  }[];
  readonly credentials: Credentials;
}

interface Known {
  readonly task: Task;
  readonly external: boolean;
  readonly flagged: boolean;
}

const FLAGGED = "is a model behind a flag, which exists for some only";
const UNFLAGGED = "name one without a flag";

type Report = (field: string, problem: string, remedy: string) => void;

/**
 * What is wrong with the routing settings taken together: names that nothing has, names that two things have, circles,
 * targets of another task.
 * @param prefix what the problems name the settings
 */
export function problemsOfRouting(
  settings: Settings,
  surroundings: RoutingSurroundings,
  prefix: string,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report: Report = (field, problem, remedy) =>
    problems.push({ field: `${prefix}.${field}`, problem, remedy });
  checkProviders(settings, surroundings, report);
  const models = checkModels(settings, surroundings, report);
  checkFallbacks(settings, models, report);
  checkVirtual(settings, models, report);
  return problems;
}

function checkProviders({ providers }: Settings, { credentials }: RoutingSurroundings, report: Report): void {
  for (const [name, { credential }] of Object.entries(providers)) {
    if (credential !== undefined && !Object.hasOwn(credentials, credential)) {
      report(
        `providers.${name}.credential`,
        "names no credential",
        "add it to the credentials (GATEWAY_CREDENTIALS, in a stack llm-platform:credentials), or correct the name",
      );
    }
  }
}

function checkModels(
  { models, providers }: Settings,
  surroundings: RoutingSurroundings,
  report: Report,
): Map<string, Known> {
  const known = new Map<string, Known>(
    surroundings.models.map(({ name, task, flag }) => [
      name,
      { task, external: false, flagged: flag !== undefined },
    ]),
  );
  for (const [name, entry] of Object.entries(models)) {
    const { provider, task = "chat" } = entry;
    const own = known.has(name);
    if (provider === undefined) checkOwn({ name, own, entry }, report);
    else if (own) {
      const remedy = "use another name for one of them";
      report(`models.${name}.provider`, "is given to one of GATEWAY_MODELS", remedy);
    } else {
      known.set(name, { task, external: true, flagged: false });
      checkProvided({ name, task, provider }, providers, report);
    }
  }
  return known;
}

function checkOwn(
  { name, own, entry }: { readonly name: string; readonly own: boolean; readonly entry: ModelEntry },
  report: Report,
): void {
  const field = `models.${name}`;
  if (!own) {
    const problem = "is neither one of GATEWAY_MODELS nor has it a provider";
    report(field, problem, "name its provider, or correct the name");
    return;
  }
  if (entry.upstream !== undefined) report(`${field}.upstream`, "is for models of providers", "leave it out");
  if (entry.task !== undefined) report(`${field}.task`, "is for models of providers", "leave it out");
}

function checkProvided(
  { name, task, provider }: { readonly name: string; readonly task: Task; readonly provider: string },
  providers: Settings["providers"],
  report: Report,
): void {
  const service = Object.hasOwn(providers, provider) ? providers[provider] : undefined;
  if (!service) {
    const remedy = "add it to providers, or correct the name";
    report(`models.${name}.provider`, "is none of the providers", remedy);
  } else if (service.kind === "anthropic" && task === "embeddings") {
    report(`models.${name}.task`, "is none that this provider has", 'use "chat"');
  }
}

function checkFallbacks({ models }: Settings, known: ReadonlyMap<string, Known>, report: Report): void {
  const graph = new Map<string, readonly string[]>();
  for (const [name, { fallbacks }] of Object.entries(models)) {
    graph.set(name, fallbacks);
    for (const [index, fallback] of fallbacks.entries()) {
      const field = `models.${name}.fallbacks[${index}]`;
      const target = known.get(fallback);
      if (!target) report(field, "is no model", "name one of GATEWAY_MODELS or of models with a provider");
      else if (known.has(name) && target.task !== known.get(name)?.task) {
        report(field, "is a model of another task", "name one of the same task");
      } else if (target.flagged) report(field, FLAGGED, UNFLAGGED);
    }
  }
  for (const name of circular(graph)) {
    report(`models.${name}.fallbacks`, "lead back to the model itself", "break the circle");
  }
}

function checkVirtual(settings: Settings, models: ReadonlyMap<string, Known>, report: Report): void {
  const virtual = targetsOf(settings);
  const graph = new Map<string, readonly string[]>();
  for (const { field, name, targets } of virtual) {
    if (models.has(name)) report(field, "has the name of a model", "use another name");
    if (graph.has(name)) report(field, "has the name of another entry", "use each name once");
    graph.set(name, Object.values(targets));
  }
  const circles = circular(graph);
  for (const entry of virtual) {
    if (circles.has(entry.name)) report(entry.field, "leads back to itself", "break the circle");
    checkTargets(entry, { graph, models }, report);
  }
  if (circles.size > 0) return;
  for (const entry of virtual) checkTasks(entry, { graph, models }, report);
  checkHybrid(settings, { graph, models }, report);
}

function checkTargets({ field, targets }: Virtual, { graph, models }: Names, report: Report): void {
  for (const [part, target] of Object.entries(targets)) {
    if (!models.has(target) && !graph.has(target)) {
      report(`${field}${part}`, "is no model", "name a model, or another name of routing");
    } else if (models.get(target)?.flagged) report(`${field}${part}`, FLAGGED, UNFLAGGED);
  }
}

interface Virtual {
  readonly field: string;
  readonly name: string;
  /** Names by the end of their field's path. */
  readonly targets: Readonly<Record<string, string>>;
}

/** The names that routing adds, and what each of them leads to. */
function targetsOf({ routing }: Settings): Virtual[] {
  const aliases = Object.entries(routing.aliases).map(([name, alias]) => ({
    field: `routing.aliases.${name}`,
    name,
    targets:
      typeof alias === "string"
        ? { "": alias }
        : Object.fromEntries(alias.map(({ model }, index) => [`[${index}].model`, model])),
  }));
  const tasks = Object.entries(routing.tasks).map(([name, { simple, complex, code }]) => ({
    field: `routing.tasks.${name}`,
    name,
    targets: { ".simple": simple, ".complex": complex, ".code": code },
  }));
  const hybrid = Object.entries(routing.hybrid).map(([name, { local, external }]) => ({
    field: `routing.hybrid.${name}`,
    name,
    targets: { ".local": local, ".external": external },
  }));
  return [...aliases, ...tasks, ...hybrid];
}

interface Names {
  readonly graph: ReadonlyMap<string, readonly string[]>;
  readonly models: ReadonlyMap<string, Known>;
}

function checkTasks({ field, name }: Virtual, { graph, models }: Names, report: Report): void {
  const tasks = new Set([...reached(name, graph)].flatMap((target) => models.get(target)?.task ?? []));
  if (tasks.size > 1) report(field, "leads to models of different tasks", "name models of one task");
}

function checkHybrid(settings: Settings, { graph, models }: Names, report: Report): void {
  for (const [name, { local, external }] of Object.entries(settings.routing.hybrid)) {
    const field = `routing.hybrid.${name}`;
    for (const target of reached(local, graph)) {
      if (models.get(target)?.external === true) {
        report(`${field}.local`, "leads to a provider", "name a model of GATEWAY_MODELS");
      } else if (models.has(target) && concurrencyOf(settings, target) === undefined) {
        report(
          `models.${target}.maxConcurrency`,
          "is missing",
          `say how many requests a replica works on at a time, so that ${field} knows its load`,
        );
      }
    }
    for (const target of reached(external, graph)) {
      if (models.get(target)?.external === false) {
        report(`${field}.external`, "leads to one of GATEWAY_MODELS", "name a model of a provider");
      }
    }
  }
}

/** All names that a name leads to, itself included. */
function reached(name: string, graph: ReadonlyMap<string, readonly string[]>): Set<string> {
  const seen = new Set([name]);
  for (const known of seen) for (const target of graph.get(known) ?? []) seen.add(target);
  return seen;
}

/** The names that lead back to themselves. */
function circular(graph: ReadonlyMap<string, readonly string[]>): Set<string> {
  const leadsBack = (name: string, targets: readonly string[]) =>
    targets.some((target) => reached(target, graph).has(name));
  return new Set([...graph].filter(([name, targets]) => leadsBack(name, targets)).map(([name]) => name));
}
