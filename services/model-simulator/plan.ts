import { NATURAL_END, type Source } from "./language.ts";
import { END_OF_TEXT, type Piece } from "./tokenizer.ts";

/** What a generation will say, settled before its first token; the scheduler only decides when. */
export interface Plan {
  readonly pieces: readonly Piece[];
  readonly finishReason: "stop" | "length";
  /** The stop string or stop token that ended it. */
  readonly stopReason: string | number | null;
}

export interface PlanLimits {
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stop: readonly string[];
  readonly stopTokenIds: ReadonlySet<number>;
  readonly includeStop: boolean;
}

interface StopHit {
  readonly stop: string;
  readonly at: number;
}

function findStop(text: string, stops: readonly string[]): StopHit | undefined {
  let best: StopHit | undefined;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at !== -1 && (best === undefined || at < best.at)) best = { stop, at };
  }
  return best;
}

// The tokens stay, since they were generated; the characters after the cut do not.
function cutCharacters(pieces: readonly Piece[], characters: number): Piece[] {
  let left = characters;
  return pieces.map((piece) => {
    const text = piece.text.slice(0, left);
    left -= text.length;
    return { id: piece.id, text };
  });
}

class Planner {
  readonly #pieces: Piece[] = [];
  readonly #limits: PlanLimits;
  readonly #tailLength: number;
  /** The last characters, as far as a stop string could begin in them. */
  #tail = "";
  #characters = 0;

  constructor(limits: PlanLimits) {
    this.#limits = limits;
    this.#tailLength = limits.stop.reduce((longest, stop) => Math.max(longest, stop.length - 1), 0);
  }

  /** Takes what the source says next; returns the plan once it is complete. */
  take(next: Piece | typeof NATURAL_END): Plan | undefined {
    const mayStop = this.#pieces.length + 1 >= this.#limits.minTokens;
    if (next === NATURAL_END) return mayStop && !this.#limits.ignoreEos ? this.end() : undefined;
    return (mayStop ? this.#stopAt(next) : undefined) ?? this.#keep(next);
  }

  /** The model ends its answer. */
  end(): Plan {
    return { pieces: [...this.#pieces, END_OF_TEXT], finishReason: "stop", stopReason: null };
  }

  #stopAt(piece: Piece): Plan | undefined {
    const { stop, stopTokenIds, includeStop } = this.#limits;
    if (stopTokenIds.has(piece.id)) {
      const pieces = [...this.#pieces, { id: piece.id, text: "" }];
      return { pieces, finishReason: "stop", stopReason: piece.id };
    }
    const hit = findStop(this.#tail + piece.text, stop);
    if (!hit) return undefined;
    const at = this.#characters - this.#tail.length + hit.at;
    const end = includeStop ? at + hit.stop.length : at;
    const pieces = cutCharacters([...this.#pieces, piece], end);
    return { pieces, finishReason: "stop", stopReason: hit.stop };
  }

  #keep(piece: Piece): Plan | undefined {
    this.#pieces.push(piece);
    this.#characters += piece.text.length;
    if (this.#tailLength > 0) this.#tail = (this.#tail + piece.text).slice(-this.#tailLength);
    if (this.#pieces.length < this.#limits.maxTokens) return undefined;
    return { pieces: this.#pieces, finishReason: "length", stopReason: null };
  }
}

/** Takes tokens from the source until something ends the generation. */
export function planTokens(source: Source, limits: PlanLimits): Plan {
  const planner = new Planner(limits);
  for (const next of source) {
    const plan = planner.take(next);
    if (plan) return plan;
  }
  return planner.end();
}
