import type { Usage } from "../api/schemas.ts";
import { readUsage } from "./event.ts";

/**
 * What a stream has used so far. An engine counts each choice by itself, with its prompt, until a last chunk without
 * choices tells the whole; a stream that is cut before has the sum of its choices, and each of its prompts once.
 */
export class RunningUsage {
  readonly #choicesPerPrompt: number | undefined;
  // Of a stream with one choice: the text is read when somebody asks, not for every token.
  #text: string | undefined;
  readonly #byChoice = new Map<number, Usage>();
  #whole: Usage | undefined;

  /** @param choicesPerPrompt undefined for one choice of one prompt */
  constructor(choicesPerPrompt: number | undefined) {
    this.#choicesPerPrompt = choicesPerPrompt;
  }

  sawText(text: string): void {
    this.#text = text;
  }

  /** @param index of the choice; undefined for the usage of the whole answer */
  saw(usage: Usage, index: number | undefined): void {
    if (index === undefined) this.#whole = usage;
    else if (this.#choicesPerPrompt === undefined) this.#text = JSON.stringify(usage);
    else this.#byChoice.set(index, usage);
  }

  get value(): Usage | undefined {
    if (this.#whole) return this.#whole;
    if (this.#text !== undefined) return readUsage(this.#text);
    return this.#byChoice.size === 0 ? undefined : this.#sum();
  }

  #sum(): Usage {
    const prompts = new Map<number, number>();
    let completion = 0;
    for (const [index, usage] of this.#byChoice) {
      prompts.set(Math.floor(index / (this.#choicesPerPrompt ?? 1)), usage.prompt_tokens);
      completion += usage.completion_tokens;
    }
    const prompt = [...prompts.values()].reduce((sum, tokens) => sum + tokens, 0);
    return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
  }
}
