import { createHash } from "node:crypto";
import { CommandError, type Reply } from "../resp.ts";
import { PRELUDE } from "./prelude.ts";
import { COUNT_HOOK, LUA_TYPE, openLua, type RawLua, REGISTRY } from "./raw.ts";
import { LuaValues } from "./values.ts";

// Nothing else is served while a script runs.
const TIME_LIMIT_MS = 2_000;
const HOOK_INSTRUCTIONS = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_SCRIPTS = 500;
const NULL = 0;
// On the script's first line, so that its errors name its own lines.
const ARGUMENTS = Buffer.from("local KEYS, ARGV = ... ");

/** Runs one command for a script. */
export type RunCommand = (words: readonly Buffer[]) => Reply;

export interface ScriptRun {
  readonly keys: readonly Buffer[];
  readonly args: readonly Buffer[];
  readonly command: RunCommand;
}

/** Runs scripts as Redis does: one at a time, nothing between their commands. */
export class Interpreter {
  readonly #lua: RawLua;
  readonly #state: number;
  readonly #values: LuaValues;
  readonly #scriptName: number;
  readonly #line: number;
  readonly #hook: number;
  readonly #handler: number;
  /** References to compiled scripts by their SHA-1. */
  readonly #scripts = new Map<string, number>();
  #command: RunCommand = () => null;
  #deadline = 0;

  private constructor(lua: RawLua, state: number) {
    this.#lua = lua;
    this.#state = state;
    this.#values = new LuaValues(lua, state);
    this.#scriptName = this.#values.keep("@user_script");
    this.#line = this.#values.keep("line");
    this.#hook = lua.addFunction(() => this.#checkTime(), "vii");
    this.#handler = this.#loadPrelude();
  }

  static async open(): Promise<Interpreter> {
    const { lua, state } = await openLua(MAX_BYTES);
    return new Interpreter(lua, state);
  }

  static sha(source: Buffer): string {
    return createHash("sha1").update(source).digest("hex");
  }

  has(sha: string): boolean {
    return this.#scripts.has(sha);
  }

  /** Forgets all scripts. */
  flush(): void {
    for (const reference of this.#scripts.values()) this.#lua._luaL_unref(this.#state, REGISTRY, reference);
    this.#scripts.clear();
  }

  /** Compiles the script and keeps it; gives its SHA-1. @throws {CommandError} when it is no Lua */
  load(source: Buffer): string {
    const sha = Interpreter.sha(source);
    if (this.#scripts.has(sha)) return sha;
    // Clients that are told of an unknown script send it again.
    if (this.#scripts.size >= MAX_SCRIPTS) this.flush();
    this.#scripts.set(sha, this.#compile(Buffer.concat([ARGUMENTS, source]), this.#scriptName));
    return sha;
  }

  /** Runs a script that was loaded. @throws {CommandError} what it failed with */
  run(sha: string, { keys, args, command }: ScriptRun): Reply {
    const reference = this.#scripts.get(sha);
    if (reference === undefined) throw new CommandError("NOSCRIPT No matching script. Please use EVAL.");
    const lua = this.#lua;
    this.#command = command;
    this.#deadline = performance.now() + TIME_LIMIT_MS;
    lua._lua_sethook(this.#state, this.#hook, COUNT_HOOK, HOOK_INSTRUCTIONS);
    try {
      lua._lua_rawgeti(this.#state, REGISTRY, BigInt(this.#handler));
      lua._lua_rawgeti(this.#state, REGISTRY, BigInt(reference));
      this.#values.pushList(keys);
      this.#values.pushList(args);
      const failed = lua._lua_pcallk(this.#state, 2, 1, 1, 0, NULL) !== 0;
      if (failed) throw this.#failure(sha);
      return this.#values.take();
    } finally {
      lua._lua_sethook(this.#state, NULL, 0, 0);
      lua._lua_settop(this.#state, 0);
    }
  }

  #failure(sha: string): CommandError {
    // Where even the handler found no memory, there is a text and no table.
    const isTable = this.#lua._lua_type(this.#state, -1) === LUA_TYPE.table;
    const line = isTable ? this.#values.numberField(this.#line) : 0;
    const failure = this.#values.take();
    const text = failure instanceof CommandError ? failure.message : `ERR ${failure}`;
    return new CommandError(`${text} script: ${sha}, on @user_script:${line}.`);
  }

  #compile(source: Buffer, name: number): number {
    const lua = this.#lua;
    const text = lua._malloc(source.length + 1);
    lua.HEAPU8.set(source, text);
    const status = lua._luaL_loadbufferx(this.#state, text, source.length, name, NULL);
    lua._free(text);
    if (status === 0) return lua._luaL_ref(this.#state, REGISTRY);
    const problem = this.#values.bytes(-1).toString("latin1");
    lua._lua_settop(this.#state, 0);
    throw new CommandError(`ERR Error compiling script (new function): ${problem}`);
  }

  #loadPrelude(): number {
    const lua = this.#lua;
    const reference = this.#compile(Buffer.from(PRELUDE), this.#values.keep("=prelude"));
    lua._lua_rawgeti(this.#state, REGISTRY, BigInt(reference));
    lua._lua_pushcclosure(
      this.#state,
      lua.addFunction(() => this.#runCommand(), "ii"),
      0,
    );
    lua._lua_pushcclosure(
      this.#state,
      lua.addFunction(() => this.#sha1(), "ii"),
      0,
    );
    if (lua._lua_pcallk(this.#state, 2, 1, 0, 0, NULL) !== 0)
      throw new Error(`the scripts' prelude failed: ${this.#values.bytes(-1)}`);
    return lua._luaL_ref(this.#state, REGISTRY);
  }

  /** Called by scripts: leaves the reply and whether it is an error. */
  #runCommand(): number {
    const reply = this.#answer();
    this.#lua._lua_settop(this.#state, 0);
    this.#values.push(reply);
    this.#lua._lua_pushboolean(this.#state, reply instanceof CommandError ? 1 : 0);
    return 2;
  }

  #answer(): Reply {
    const count = this.#lua._lua_gettop(this.#state);
    if (count === 0)
      return new CommandError("ERR Please specify at least one argument for this redis lib call");
    const words: Buffer[] = [];
    for (let index = 1; index <= count; index += 1) {
      const word = this.#values.word(index);
      if (word === undefined)
        return new CommandError("ERR Lua redis lib command arguments must be strings or integers");
      words.push(word);
    }
    return this.#command(words);
  }

  #sha1(): number {
    const digest = Interpreter.sha(this.#values.word(1) ?? Buffer.alloc(0));
    this.#values.pushBytes(Buffer.from(digest));
    return 1;
  }

  #checkTime(): undefined {
    if (performance.now() < this.#deadline) return;
    // From now on after every instruction, so that no pcall of the script can hold it back.
    this.#lua._lua_sethook(this.#state, this.#hook, COUNT_HOOK, 1);
    this.#values.pushBytes(Buffer.from(`Script killed: it ran for more than ${TIME_LIMIT_MS} ms`));
    this.#lua._lua_error(this.#state);
  }
}
