import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import writeFileAtomic from "write-file-atomic";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { Crypter } from "../embedded/crypter.ts";

const pluginsSchema = z.record(z.string(), z.array(z.looseObject({ path: z.string().optional() })));
const projectSchema = z.looseObject({ main: z.string().optional(), plugins: pluginsSchema.optional() });
const saltSchema = z.looseObject({ encryptionsalt: z.string().optional() });

export interface StackConfig {
  stack: string;
  config: Record<string, string>;
  secretKeys: readonly string[];
  passphrase: string;
}

/**
 * The folder that the CLI runs in: a copy of the project's Pulumi.yaml that points back to the project, and the
 * stacks' configuration. The CLI writes into its configuration files, and what is tracked must stay as it is.
 */
export class WorkFolder {
  readonly folder: string;
  readonly #projectFolder: string;

  constructor(folder: string, projectFolder: string) {
    this.folder = path.resolve(folder);
    this.#projectFolder = path.resolve(projectFolder);
  }

  get backend(): string {
    const backend = path.join(this.folder, "backend");
    mkdirSync(backend, { recursive: true, mode: 0o700 });
    return `file://${backend}`;
  }

  writeProject(name: string): void {
    const { main = ".", plugins, stackConfigDir: _, ...rest } = this.#readProject();
    const absolute = (place: string) => path.resolve(this.#projectFolder, place);
    const located = Object.entries(plugins ?? {}).map(([kind, list]) => [
      kind,
      list.map((plugin) => (plugin.path ? { ...plugin, path: absolute(plugin.path) } : plugin)),
    ]);
    const project = { ...rest, name, main: absolute(main), plugins: Object.fromEntries(located) };
    this.#write("Pulumi.yaml", project);
  }

  #readProject(): z.infer<typeof projectSchema> {
    const file = path.join(this.#projectFolder, "Pulumi.yaml");
    try {
      return projectSchema.parse(parse(readFileSync(file, "utf8")));
    } catch (error) {
      const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
      throw new Error(`${file} cannot be read as a project of Pulumi: ${reason}`);
    }
  }

  /**
   * Writes a stack's configuration, its secrets sealed. A preview, which may be made while another run changes the
   * stack, gets a file of its own, for the caller to remove.
   * @returns the file.
   */
  async writeConfig(
    { stack, config, secretKeys, passphrase }: StackConfig,
    preview: boolean,
  ): Promise<string> {
    const name = `Pulumi.${stack}.yaml`;
    const crypter = await this.#crypterOf(name, passphrase);
    const values = Object.entries(config).map(([key, value]) => [
      key,
      secretKeys.includes(key) ? { secure: crypter.encrypt(value) } : value,
    ]);
    const content = { encryptionsalt: crypter.salt, config: Object.fromEntries(values) };
    if (!preview) return this.#write(name, content);
    if (!existsSync(path.join(this.folder, name))) this.#write(name, content);
    return this.#write(`preview-${randomUUID()}.yaml`, content);
  }

  /** A stack keeps its salt, so that a wrong passphrase shows. */
  async #crypterOf(name: string, passphrase: string): Promise<Crypter> {
    const file = path.join(this.folder, name);
    const known = existsSync(file)
      ? saltSchema.parse(parse(readFileSync(file, "utf8")) ?? {}).encryptionsalt
      : undefined;
    return known === undefined ? Crypter.create(passphrase) : Crypter.open(passphrase, known);
  }

  #write(name: string, content: unknown): string {
    const file = path.join(this.folder, name);
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileAtomic.sync(file, stringify(content), { mode: 0o600 });
    return file;
  }
}
