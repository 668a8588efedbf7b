import type { Backend, BackendTraits } from "../upstream/backend.ts";
import { AnthropicBackend } from "./anthropic/backend.ts";
import { OpenAiBackend } from "./openai.ts";
import type { ProviderEntry } from "./settings.ts";

/** A model as a provider serves it. */
export interface ProvidedModel extends BackendTraits {
  /** What clients call it. */
  readonly model: string;
  /** What the provider calls it. */
  readonly upstream: string;
  /** Undefined for a provider that asks for none. */
  readonly secret: string | undefined;
  /** Tokens an answer may have if its request does not say. */
  readonly maxTokens: number;
}

const KINDS = { openai: OpenAiBackend, anthropic: AnthropicBackend } as const;

export function backendOf({ kind, baseUrl }: ProviderEntry, model: ProvidedModel): Backend {
  return new KINDS[kind](baseUrl, model);
}
