import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import writeFileAtomic from "write-file-atomic";
import { z } from "zod";
import { Crypter } from "./crypter.ts";
import { isSecret, mapValues, type Properties, sealed, secret } from "./values.ts";

/** The release of Pulumi's state format that is written; the CLI compares its hash with its own. */
const FORMAT_VERSION = "v3.270.0";

export const resourceSchema = z.looseObject({
  urn: z.string(),
  custom: z.boolean(),
  type: z.string(),
  delete: z.boolean().optional(),
  id: z.string().optional(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  outputs: z.record(z.string(), z.unknown()).optional(),
  parent: z.string().optional(),
  protect: z.boolean().optional(),
  external: z.boolean().optional(),
  dependencies: z.array(z.string()).optional(),
  initErrors: z.array(z.string()).optional(),
  provider: z.string().optional(),
  propertyDependencies: z.record(z.string(), z.array(z.string()).nullable()).optional(),
  additionalSecretOutputs: z.array(z.string()).optional(),
  created: z.string().optional(),
  modified: z.string().optional(),
});

/** One resource as a Pulumi deployment keeps it (its keys are Pulumi's). */
export type ResourceState = z.infer<typeof resourceSchema>;

export type PendingKind = "creating" | "updating" | "deleting";

export interface PendingOperation {
  resource: ResourceState;
  type: PendingKind;
}

const fileSchema = z.object({
  version: z.literal(3),
  deployment: z.looseObject({
    secrets_providers: z.object({ type: z.string(), state: z.object({ salt: z.string() }) }).optional(),
    resources: z.array(resourceSchema).optional(),
    pending_operations: z
      .array(z.object({ resource: resourceSchema, type: z.enum(["creating", "updating", "deleting"]) }))
      .optional(),
  }),
});

/** A stack's state: a Pulumi deployment (version 3) in one file, its secrets sealed in Pulumi's passphrase format. */
export class StateFile {
  readonly file: string;
  resources: ResourceState[] = [];
  pending: PendingOperation[] = [];
  #crypter: Crypter;
  /** Ciphertext by plaintext: a secret that stays the same keeps its bytes in the file. */
  #ciphertexts = new Map<string, string>();

  private constructor(file: string, crypter: Crypter) {
    this.file = file;
    this.#crypter = crypter;
  }

  /** Reads the file, or begins an empty state where there is none. */
  static async open(file: string, passphrase: string): Promise<StateFile> {
    if (!existsSync(file)) return new StateFile(file, await Crypter.create(passphrase));
    const { deployment } = parse(file);
    const salt = deployment.secrets_providers?.state.salt;
    const crypter = salt ? await Crypter.open(passphrase, salt) : await Crypter.create(passphrase);
    const state = new StateFile(file, crypter);
    state.resources = (deployment.resources ?? []).map((resource) => state.#unseal(resource));
    state.pending = (deployment.pending_operations ?? []).map(({ resource, type }) => ({
      resource: state.#unseal(resource),
      type,
    }));
    return state;
  }

  /** Writes the whole state at once: a reader sees the old file or the new one, never a part. */
  save(resources: ResourceState[], pending: PendingOperation[]): void {
    this.resources = resources;
    this.pending = pending;
    mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 });
    writeFileAtomic.sync(this.file, `${JSON.stringify(this.export(), null, 2)}\n`, { mode: 0o600 });
  }

  /** The state as `pulumi stack export` would print it. */
  export() {
    return {
      version: 3,
      deployment: {
        manifest: {
          time: new Date().toISOString(),
          magic: createHash("sha256").update(FORMAT_VERSION).digest("hex"),
          version: FORMAT_VERSION,
        },
        secrets_providers: { type: "passphrase", state: { salt: this.#crypter.salt } },
        resources: this.resources.map((resource) => this.#seal(resource)),
        pending_operations: this.pending.length
          ? this.pending.map(({ resource, type }) => ({ resource: this.#seal(resource), type }))
          : undefined,
        metadata: {},
      },
    };
  }

  #seal(resource: ResourceState): ResourceState {
    return this.#mapSecrets(resource, (value) => {
      const plaintext = JSON.stringify(value.value);
      const known = this.#ciphertexts.get(plaintext) ?? this.#crypter.encrypt(plaintext);
      this.#ciphertexts.set(plaintext, known);
      return sealed(known);
    });
  }

  #unseal(resource: ResourceState): ResourceState {
    return this.#mapSecrets(resource, (value) => {
      if (value.ciphertext === undefined) return value;
      const plaintext = this.#crypter.decrypt(value.ciphertext);
      this.#ciphertexts.set(plaintext, value.ciphertext);
      return secret(JSON.parse(plaintext));
    });
  }

  #mapSecrets(resource: ResourceState, change: (value: ReturnType<typeof secret>) => unknown): ResourceState {
    const properties = (bag: Properties | undefined) =>
      bag && (mapValues(bag, (value) => (isSecret(value) ? change(value) : value)) as Properties);
    return { ...resource, inputs: properties(resource.inputs), outputs: properties(resource.outputs) };
  }
}

function parse(file: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(
      `the state file ${file} cannot be read: ${reason}\n` +
        "remedy: restore the file from a backup; what it described keeps running until then.",
    );
  }
}
