import { existsSync } from "node:fs";
import { join } from "node:path";
import { ApiError, badRequest, notFound } from "./errors.ts";
import { newId, secondsNow } from "./identity.ts";

export interface Adapter {
  readonly name: string;
  readonly path: string;
}

/** The model's names and the LoRA adapters beside it. */
export class ModelRegistry {
  readonly #adapters = new Map<string, Adapter>();
  readonly #root: string;
  readonly #names: readonly string[];
  readonly #maxModelLen: number;

  constructor(options: { root: string; names: readonly string[]; maxModelLen: number }) {
    this.#root = options.root;
    this.#names = options.names;
    this.#maxModelLen = options.maxModelLen;
  }

  get defaultName(): string {
    return this.#names[0] ?? this.#root;
  }

  /** The name to answer with, and the adapter if the name is one's. Throws 404 for a name that is not served. */
  resolve(name: string | undefined): { readonly name: string; readonly adapter: string | undefined } {
    if (name === undefined || name === "") return { name: this.defaultName, adapter: undefined };
    if (this.#names.includes(name)) return { name, adapter: undefined };
    if (this.#adapters.has(name)) return { name, adapter: name };
    throw notFound(
      `The model \`${name}\` does not exist. Valid aliases: ${this.#names.join(", ")}.`,
      "model",
    );
  }

  load(adapter: Adapter) {
    if (this.#adapters.has(adapter.name)) {
      throw new ApiError(400, "InvalidUserInput", {
        message: `The lora adapter '${adapter.name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`,
      });
    }
    if (!existsSync(join(adapter.path, "adapter_config.json"))) {
      throw notFound(`Loading lora ${adapter.name} failed: No adapter found for ${adapter.path}`);
    }
    if (this.#names.includes(adapter.name)) {
      throw badRequest(`The lora adapter '${adapter.name}' has the name of the base model.`);
    }
    this.#adapters.set(adapter.name, adapter);
  }

  unload(name: string) {
    if (!this.#adapters.delete(name)) throw notFound(`The lora adapter '${name}' cannot be found.`);
  }

  list() {
    const created = secondsNow();
    const base = this.#names.map((id) => this.#card({ id, root: this.#root, created }));
    const adapters = [...this.#adapters.values()].map(({ name, path }) =>
      this.#card({ id: name, root: path, created, parent: this.defaultName }),
    );
    return { object: "list", data: [...base, ...adapters] };
  }

  #card(model: { id: string; root: string; created: number; parent?: string }) {
    return {
      id: model.id,
      object: "model",
      created: model.created,
      owned_by: "vllm",
      root: model.root,
      parent: model.parent ?? null,
      max_model_len: model.parent === undefined ? this.#maxModelLen : null,
      permission: [
        {
          id: newId("modelperm-"),
          object: "model_permission",
          created: model.created,
          allow_create_engine: false,
          allow_sampling: true,
          allow_logprobs: true,
          allow_search_indices: false,
          allow_view: true,
          allow_fine_tuning: false,
          organization: "*",
          group: null,
          is_blocking: false,
        },
      ],
    };
  }
}
