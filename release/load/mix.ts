import type { LoadSettings } from "./args.ts";

// Multiples of these leave remainders that are spread evenly in all three dimensions (Roberts' R3 sequence): every
// share is met at any time, and no share goes with another, as streams with new connections.
const STREAM_STEP = 0.8191725133961645;
const CONNECTION_STEP = 0.6710436067037893;
const EMBEDDINGS_STEP = 0.5497004779019703;

const REQUEST_PROMPT = "Say in one sentence what a load test is for.";
const HELD_PROMPT = "Tell a long story about a river.";

/** One request as it is sent. */
export interface LoadRequest {
  readonly path: string;
  readonly body: string;
  readonly streamed: boolean;
  readonly ownConnection: boolean;
}

/** Says what each request of a load is, by its number. */
export class Mix {
  readonly #settings: LoadSettings;
  readonly #plain: string;
  readonly #stream: string;
  readonly #held: string;
  readonly #embeddings: string;

  constructor(settings: LoadSettings) {
    this.#settings = settings;
    const { models, maxTokens, heldStreamTokens } = settings;
    const chat = (prompt: string, more: object) =>
      JSON.stringify({ model: models.chat, messages: [{ role: "user", content: prompt }], ...more });
    const held = { max_tokens: heldStreamTokens, ignore_eos: true, stream: true };
    this.#plain = chat(REQUEST_PROMPT, { max_tokens: maxTokens });
    this.#stream = chat(REQUEST_PROMPT, { max_tokens: maxTokens, stream: true });
    this.#held = chat(HELD_PROMPT, held);
    this.#embeddings = JSON.stringify({ model: models.embeddings, input: REQUEST_PROMPT });
  }

  request(index: number): LoadRequest {
    const { streamShare, newConnectionShare } = this.#settings;
    const ownConnection = falls(index, CONNECTION_STEP, newConnectionShare);
    if (falls(index, STREAM_STEP, streamShare)) return this.#chat(this.#stream, true, ownConnection);
    if (!this.#asksForEmbeddings(index)) return this.#chat(this.#plain, false, ownConnection);
    return { path: "/v1/embeddings", body: this.#embeddings, streamed: false, ownConnection };
  }

  heldStream(index: number): LoadRequest {
    return this.#chat(this.#held, true, falls(index, CONNECTION_STEP, this.#settings.newConnectionShare));
  }

  #asksForEmbeddings(index: number): boolean {
    const { models, embeddingsShare } = this.#settings;
    return models.embeddings !== undefined && falls(index, EMBEDDINGS_STEP, embeddingsShare);
  }

  #chat(body: string, streamed: boolean, ownConnection: boolean): LoadRequest {
    return { path: "/v1/chat/completions", body, streamed, ownConnection };
  }
}

function falls(index: number, step: number, share: number): boolean {
  return ((index + 1) * step) % 1 < share;
}
