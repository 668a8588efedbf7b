import { NoReply, type Server, shown } from "./ask.ts";
import { CHECKS, type Check, type SmokeModel } from "./smoke-checks.ts";

export type { SmokeModel } from "./smoke-checks.ts";

const DEADLINE_MS = 10_000;

export interface SmokeArgs {
  /** Address of one color, without `/v1`. */
  readonly url: string;
  /** Key that the color accepts; shown nowhere. */
  readonly key: string;
  readonly models: readonly SmokeModel[];
  /** Ends the checks. */
  readonly signal: AbortSignal;
  /** Milliseconds for each check. Default: 10000. */
  readonly deadlineMs?: number;
}

export interface CheckResult {
  readonly name: string;
  readonly passed: boolean;
  /** Everything that is wrong, on one line; safe to show. */
  readonly problem?: string;
}

/**
 * Tries everything that clients rely on, once: readiness, models, chats, streams, embeddings and the errors' shapes.
 * @throws what `signal` says when it aborts.
 */
export async function smoke(args: SmokeArgs): Promise<CheckResult[]> {
  const { url, key, models, signal, deadlineMs = DEADLINE_MS } = args;
  const server = { url, key, signal, deadlineMs };
  return Promise.all(CHECKS.flatMap((checksOf) => checksOf(models)).map((check) => carryOut(check, server)));
}

async function carryOut({ name, run }: Check, server: Server): Promise<CheckResult> {
  const problems = await run(server).catch((error: unknown) => {
    if (error instanceof NoReply) return [error.message];
    throw error;
  });
  if (problems.length === 0) return { name, passed: true };
  return { name, passed: false, problem: problems.map((problem) => shown(problem, server.key)).join("; ") };
}
