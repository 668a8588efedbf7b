import { badRequest, engineDead, overloaded, shuttingDown } from "./errors.ts";
import { type Exchange, onClientGone } from "./http.ts";
import type { Source } from "./language.ts";
import { type Plan, planTokens } from "./plan.ts";
import { hashNumbers, hashText, type Random, randomFrom } from "./random.ts";
import type { Sampling } from "./sampling.ts";
import type { Simulator } from "./simulator.ts";
import type { Prompt } from "./tokenizer.ts";

/** A request whose choices are prompts times n. */
export interface Generation {
  readonly id: string;
  readonly created: number;
  readonly modelName: string;
  readonly adapter: string | undefined;
  readonly prompts: readonly Prompt[];
  readonly sampling: Sampling;
  /** Tokens of the answer where the request sets no limit. */
  readonly defaultMaxTokens: number | undefined;
  /** Entries of the answer for each token that a choice generates: the token and its alternatives. */
  readonly entriesPerToken: number;
  /** Entries for each prompt token, in each choice; 0 where the answer does not repeat the prompt. */
  readonly entriesPerPromptToken: number;
  /** What the model would say, given its random numbers. */
  source(random: Random, choice: number): Source;
}

/** What becomes of a generation; each choice finishes once, unless the engine dies. */
export interface GenerationListener {
  /** Absent where only whole answers are wanted. */
  readonly progress?: (choice: number, plan: Plan, range: { from: number; to: number }) => void;
  finished(plans: readonly Plan[], usage: Usage): void;
  failed(): void;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

// The answer is held in memory until its last token, so both are bounded, whatever n and the prompts are.
const MAX_CHOICES = 16_384;
const MAX_ENTRIES = 256 * 1024;

export function promptTokensOf({ prompts }: Generation): number {
  return prompts.reduce((sum, { ids }) => sum + ids.length, 0);
}

/** Throws a 400 where the answer would hold too much before its first token. */
export function checkAnswerSize(generation: Generation) {
  const { prompts, sampling, entriesPerPromptToken } = generation;
  const choices = prompts.length * sampling.n;
  if (choices > MAX_CHOICES) {
    throw badRequest(`n times the number of prompts must be at most ${MAX_CHOICES}, got ${choices}.`);
  }
  const repeated = promptTokensOf(generation) * sampling.n * entriesPerPromptToken;
  if (repeated > MAX_ENTRIES) {
    throw badRequest(
      `The answer would repeat the prompt in ${repeated} entries, at most ${MAX_ENTRIES} are allowed.`,
    );
  }
}

function seedOf(simulator: Simulator, generation: Generation, choice: number): number {
  const { sampling, prompts, adapter } = generation;
  const seed = hashNumbers([simulator.config.seed, sampling.seed ?? 0, choice % sampling.n]);
  const prompt = prompts[Math.floor(choice / sampling.n)];
  return hashNumbers(prompt?.ids ?? [], hashText(adapter ?? simulator.models.defaultName, seed));
}

function planChoice(
  simulator: Simulator,
  generation: Generation,
  { choice, left }: { choice: number; left: number },
): Plan {
  const { sampling, prompts, defaultMaxTokens } = generation;
  const promptTokens = prompts[Math.floor(choice / sampling.n)]?.ids.length ?? 0;
  const room = simulator.config.maxModelLen - promptTokens;
  const maxTokens = Math.min(sampling.maxTokens ?? defaultMaxTokens ?? room, room, Math.max(1, left));
  const source = generation.source(randomFrom(seedOf(simulator, generation, choice)), choice);
  return planTokens(source, { ...sampling, maxTokens });
}

/** Refuses new work while the server stops, its engine is dead or its queue is full. */
export function admit(simulator: Simulator) {
  if (simulator.phase === "dead") throw engineDead();
  if (simulator.phase === "stopping") throw shuttingDown();
  const limit = simulator.config.maxNumQueuedReqs;
  if (limit !== undefined && simulator.scheduler.size >= limit) {
    simulator.metrics.rejected();
    throw overloaded();
  }
}

/** Submits every choice; all are taken out again when the client goes. */
export function generate(
  simulator: Simulator,
  generation: Generation,
  { exchange, listener }: { exchange: Exchange; listener: GenerationListener },
) {
  const { prompts, sampling } = generation;
  const { scheduler, prefixCache, metrics } = simulator;
  metrics.parameters(sampling);
  const cached = prompts.map(({ ids }) => prefixCache.lookUp(ids));
  const choices = prompts.length * sampling.n;
  const plans: Plan[] = [];
  let left = Math.floor(Math.max(MAX_ENTRIES / generation.entriesPerToken, simulator.config.maxModelLen));
  const withdrawals: (() => void)[] = [];
  let missing = choices;
  let over = false;
  const promptTokens = promptTokensOf(generation);
  const cachedTokens = cached.reduce((sum, tokens) => sum + tokens, 0);
  const finish = (choice: number, plan: Plan) => {
    plans[choice] = plan;
    missing -= 1;
    if (missing > 0 || over) return;
    const completionTokens = plans.reduce((sum, { pieces }) => sum + pieces.length, 0);
    listener.finished(plans, { promptTokens, completionTokens, cachedTokens });
  };
  onClientGone(exchange, () => {
    over = true;
    for (const withdraw of withdrawals) withdraw();
  });
  for (let choice = 0; choice < choices; choice += 1) {
    const prompt = Math.floor(choice / sampling.n);
    const withdraw = scheduler.submit({
      promptTokens: prompts[prompt]?.ids.length ?? 0,
      cachedTokens: cached[prompt] ?? 0,
      adapter: generation.adapter,
      incremental: listener.progress !== undefined,
      hangAfter: exchange.fault?.hang,
      plan: () => {
        const plan = planChoice(simulator, generation, { choice, left });
        left -= plan.pieces.length;
        return plan;
      },
      progress: (plan, from, to) => listener.progress?.(choice, plan, { from, to }),
      finished: (plan) => finish(choice, plan),
      failed: () => {
        if (over) return;
        over = true;
        listener.failed();
      },
    });
    withdrawals.push(withdraw);
  }
}
