import { CommandError, type Reply, Status } from "../resp.ts";
import { LUA_TYPE, type RawLua } from "./raw.ts";

const MAX_DEPTH = 100;
const NULL = 0;
const MIN_INTEGER = -(2n ** 63n);
// From here on C's %.17g, which Redis writes a script's numbers with, has an exponent.
const FIRST_WITH_EXPONENT = 1e17;

/** Carries values between Redis's replies and Lua's stack, byte for byte. */
export class LuaValues {
  readonly #lua: RawLua;
  readonly #state: number;
  readonly #length: number;
  readonly #err: number;
  readonly #ok: number;

  constructor(lua: RawLua, state: number) {
    this.#lua = lua;
    this.#state = state;
    this.#length = lua._malloc(4);
    this.#err = this.keep("err");
    this.#ok = this.keep("ok");
  }

  /** A C string that is never freed. */
  keep(text: string): number {
    const bytes = Buffer.from(`${text}\0`, "latin1");
    const pointer = this.#lua._malloc(bytes.length);
    this.#lua.HEAPU8.set(bytes, pointer);
    return pointer;
  }

  pushBytes(bytes: Uint8Array): void {
    const pointer = this.#lua._malloc(bytes.length + 1);
    this.#lua.HEAPU8.set(bytes, pointer);
    this.#lua._lua_pushlstring(this.#state, pointer, bytes.length);
    this.#lua._free(pointer);
  }

  pushList(items: readonly Reply[]): void {
    this.#lua._lua_createtable(this.#state, items.length, 0);
    for (const [index, item] of items.entries()) {
      this.push(item);
      this.#lua._lua_rawseti(this.#state, -2, BigInt(index + 1));
    }
  }

  /** Puts a command's reply on the stack as Redis gives it to scripts. */
  push(reply: Reply): void {
    this.#lua._lua_checkstack(this.#state, 4);
    if (reply === null) this.#lua._lua_pushboolean(this.#state, 0);
    else if (typeof reply === "number" || typeof reply === "bigint")
      this.#lua._lua_pushnumber(this.#state, Number(reply));
    else if (typeof reply === "string") this.pushBytes(Buffer.from(reply));
    else if (Buffer.isBuffer(reply)) this.pushBytes(reply);
    else if (reply instanceof CommandError) this.#pushTagged(this.#err, Buffer.from(reply.message, "latin1"));
    else if (reply instanceof Status) this.#pushTagged(this.#ok, Buffer.from(reply.text));
    else this.pushList(reply as readonly Reply[]);
  }

  #pushTagged(tag: number, text: Buffer): void {
    this.#lua._lua_createtable(this.#state, 0, 1);
    this.pushBytes(text);
    this.#lua._lua_setfield(this.#state, -2, tag);
  }

  /** The bytes of a string on the stack. */
  bytes(index: number): Buffer {
    const pointer = this.#lua._lua_tolstring(this.#state, index, this.#length);
    const length = Buffer.from(this.#lua.HEAPU8.buffer, this.#length, 4).readUInt32LE();
    return Buffer.from(this.#lua.HEAPU8.subarray(pointer, pointer + length));
  }

  /** A word of a command; undefined for what is neither string nor number. */
  word(index: number): Buffer | undefined {
    const type = this.#lua._lua_type(this.#state, index);
    if (type === LUA_TYPE.string) return this.bytes(index);
    return type === LUA_TYPE.number ? Buffer.from(numberText(this.#number(index))) : undefined;
  }

  /** A number in a field of the table that is on top of the stack; 0 where there is none. */
  numberField(name: number): number {
    this.#lua._lua_getfield(this.#state, -1, name);
    const value = this.#number(-1);
    this.#lua._lua_settop(this.#state, -2);
    return value;
  }

  /** Takes what is on top of the stack as a script's reply. */
  take(depth = 0): Reply {
    const type = this.#lua._lua_type(this.#state, -1);
    const reply = type === LUA_TYPE.table ? this.#table(depth) : this.#plain(type);
    this.#lua._lua_settop(this.#state, -2);
    return reply;
  }

  #plain(type: number): Reply {
    if (type === LUA_TYPE.string) return this.bytes(-1);
    if (type === LUA_TYPE.number) return truncated(this.#number(-1));
    return type === LUA_TYPE.boolean && this.#lua._lua_toboolean(this.#state, -1) === 1 ? 1 : null;
  }

  #table(depth: number): Reply {
    if (depth >= MAX_DEPTH || this.#lua._lua_checkstack(this.#state, 4) === 0)
      return new CommandError("ERR reached lua stack limit");
    const error = this.#tag(this.#err);
    if (error !== undefined) return new CommandError(error.toString("latin1"));
    const status = this.#tag(this.#ok);
    if (status !== undefined) return new Status(status.toString("latin1").replaceAll(/[\r\n]/g, " "));
    const items: Reply[] = [];
    while (this.#lua._lua_rawgeti(this.#state, -1, BigInt(items.length + 1)) !== LUA_TYPE.nil)
      items.push(this.take(depth + 1));
    this.#lua._lua_settop(this.#state, -2);
    return items;
  }

  #tag(name: number): Buffer | undefined {
    const type = this.#lua._lua_getfield(this.#state, -1, name);
    const text = type === LUA_TYPE.string ? this.bytes(-1) : undefined;
    this.#lua._lua_settop(this.#state, -2);
    return text;
  }

  #number(index: number): number {
    return this.#lua._lua_tonumberx(this.#state, index, NULL);
  }
}

/** A script's number as Redis answers it: without what stands behind the point. */
function truncated(value: number): number | bigint {
  const whole = Math.trunc(value);
  if (Number.isSafeInteger(whole)) return whole + 0;
  // What C makes of a number that no 64-bit integer can hold.
  if (!Number.isFinite(whole) || Math.abs(whole) >= 2 ** 63) return MIN_INTEGER;
  return BigInt(whole);
}

/** As C's %.17g, save that digits that the number does not need are left out. */
function numberText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Number.isInteger(value) && Math.abs(value) < FIRST_WITH_EXPONENT) return value.toFixed(0);
  const [digits = "", exponent] = value.toPrecision(17).split("e");
  const needed = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
  return exponent === undefined ? needed : `${needed}e${exponent.replace(/^([+-])(\d)$/, "$10$2")}`;
}
