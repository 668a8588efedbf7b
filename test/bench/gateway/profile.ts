import type { Profiler } from "node:inspector";

/** Microseconds of CPU that went into one part of the gateway. */
export interface Share {
  /** A file of services/gateway, a package, or what Node.js does by itself. */
  readonly name: string;
  /** In the part's own code. */
  readonly own: number;
  /** In packages that it called. */
  readonly packages: number;
  /** In Node.js and the kernel on its behalf. */
  readonly node: number;
}

export interface Breakdown {
  /** All but idle time. */
  readonly busy: number;
  /** By the file of services/gateway that was the last to act; packages' callbacks stand alone. Largest first. */
  readonly files: readonly Share[];
  /** By package, with what Node.js did for it. Largest first. */
  readonly packages: readonly Share[];
  /** By function, its own code alone. Largest first. */
  readonly functions: readonly FunctionTime[];
}

export interface FunctionTime {
  /** Where it stands and what it is called. */
  readonly name: string;
  readonly time: number;
}

interface Place {
  readonly kind: "gateway" | "package" | "node";
  readonly name: string;
}

const IDLE = "(idle)";
const PROFILER = "node:inspector";
const GATEWAY = /\/services\/gateway\/(.+)$/;
// The last one counts: packages hold packages.
const PACKAGE = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//;
// What V8 and libuv do in nobody's name.
const NAMES: Readonly<Record<string, string>> = {
  "(garbage collector)": "garbage collection",
  "(program)": "native code outside JavaScript",
  "(root)": "Node.js by itself",
};

/** Says where a CPU profile's time went, by file of the gateway and by package. */
export function breakDown({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Breakdown {
  const parents = new Map<number, Profiler.ProfileNode>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node);
  const files = new Ledger();
  const packages = new Ledger();
  const times = toSelfTimes(samples, timeDeltas);
  const functions = new Map<string, number>();
  let busy = 0;
  for (const node of nodes) {
    const time = times.get(node.id) ?? 0;
    if (time === 0 || isOutside(node)) continue;
    busy += time;
    const stack = toStack(node, parents);
    const [self = byItself(node)] = stack;
    const name = toName(self, node);
    functions.set(name, (functions.get(name) ?? 0) + time);
    files.add(stack.find(isGateway) ?? stack.find(isPackage) ?? byItself(node), self, time);
    const nearest = stack.find((place) => place.kind !== "node");
    if (nearest && isPackage(nearest)) packages.add(nearest, self, time);
  }
  return {
    busy,
    files: files.sorted,
    packages: packages.sorted,
    functions: [...functions].map(([name, time]) => ({ name, time })).sort((a, b) => b.time - a.time),
  };
}

function toName({ name }: Place, { callFrame: { functionName } }: Profiler.ProfileNode): string {
  if (name === functionName) return NAMES[name] ?? `${name} (native)`;
  return `${name} ${functionName || "(anonymous)"}`;
}

/** Sums up the shares of each owner. */
class Ledger {
  readonly #shares = new Map<string, { name: string; own: number; packages: number; node: number }>();

  add(owner: Place, self: Place, time: number): void {
    const share = this.#shares.get(owner.name) ?? { name: owner.name, own: 0, packages: 0, node: 0 };
    this.#shares.set(owner.name, share);
    if (self.name === owner.name) share.own += time;
    else share[self.kind === "package" ? "packages" : "node"] += time;
  }

  get sorted(): readonly Share[] {
    return [...this.#shares.values()].sort((a, b) => total(b) - total(a));
  }
}

export function total({ own, packages, node }: Share): number {
  return own + packages + node;
}

/** Whether it is no work of the gateway: idle, or the profiler itself. */
function isOutside({ callFrame: { functionName, url } }: Profiler.ProfileNode): boolean {
  return functionName === IDLE || url === PROFILER;
}

function toSelfTimes(samples: readonly number[], timeDeltas: readonly number[]): Map<number, number> {
  const times = new Map<number, number>();
  for (const [index, id] of samples.entries()) times.set(id, (times.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  return times;
}

/** Where the code lies that ran, and the code that called it, innermost first. */
function toStack(node: Profiler.ProfileNode, parents: ReadonlyMap<number, Profiler.ProfileNode>): Place[] {
  const stack: Place[] = [];
  for (let at: Profiler.ProfileNode | undefined = node; at; at = parents.get(at.id)) stack.push(toPlace(at));
  return stack;
}

function toPlace({ callFrame: { url, functionName } }: Profiler.ProfileNode): Place {
  const file = GATEWAY.exec(url)?.[1];
  if (file !== undefined) return { kind: "gateway", name: file };
  const name = PACKAGE.exec(url)?.[1];
  return name === undefined ? { kind: "node", name: url || functionName } : { kind: "package", name };
}

function byItself({ callFrame: { functionName } }: Profiler.ProfileNode): Place {
  return { kind: "node", name: NAMES[functionName] ?? "Node.js by itself" };
}

function isGateway({ kind }: Place): boolean {
  return kind === "gateway";
}

function isPackage({ kind }: Place): boolean {
  return kind === "package";
}
