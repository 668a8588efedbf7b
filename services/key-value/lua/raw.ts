import { LuaFactory } from "wasmoon";

/** Places on Lua's stack count from 1 at its bottom, or from -1 at its top. */
type Index = number;

/** A place in the interpreter's memory. */
type Pointer = number;

/**
 * The C functions of Lua as the interpreter exports them. wasmoon's own conversions take strings for UTF-8; scripts and
 * data are bytes.
 */
export interface RawLua {
  readonly HEAPU8: Uint8Array;
  addFunction(callee: (...args: number[]) => number | undefined, signature: string): Pointer;
  _malloc(bytes: number): Pointer;
  _free(pointer: Pointer): void;
  _lua_gettop(state: Pointer): number;
  _lua_settop(state: Pointer, index: Index): void;
  _lua_checkstack(state: Pointer, places: number): number;
  _lua_type(state: Pointer, index: Index): number;
  _lua_toboolean(state: Pointer, index: Index): number;
  _lua_tonumberx(state: Pointer, index: Index, isNumber: Pointer): number;
  _lua_tolstring(state: Pointer, index: Index, length: Pointer): Pointer;
  _lua_getfield(state: Pointer, index: Index, name: Pointer): number;
  _lua_rawgeti(state: Pointer, index: Index, key: bigint): number;
  _lua_rawseti(state: Pointer, index: Index, key: bigint): void;
  _lua_setfield(state: Pointer, index: Index, name: Pointer): void;
  _lua_pushnil(state: Pointer): void;
  _lua_pushboolean(state: Pointer, value: number): void;
  _lua_pushnumber(state: Pointer, value: number): void;
  _lua_pushlstring(state: Pointer, text: Pointer, length: number): Pointer;
  _lua_pushcclosure(state: Pointer, callee: Pointer, upvalues: number): void;
  _lua_createtable(state: Pointer, items: number, fields: number): void;
  _lua_pcallk(
    state: Pointer,
    args: number,
    results: number,
    handler: Index,
    context: number,
    continuation: Pointer,
  ): number;
  _lua_error(state: Pointer): number;
  _lua_sethook(state: Pointer, hook: Pointer, mask: number, count: number): void;
  _luaL_loadbufferx(state: Pointer, text: Pointer, length: number, name: Pointer, mode: Pointer): number;
  _luaL_ref(state: Pointer, table: Index): number;
  _luaL_unref(state: Pointer, table: Index, reference: number): void;
}

/** What lua_type answers. */
export const LUA_TYPE = { nil: 0, boolean: 1, number: 3, string: 4, table: 5 } as const;

/** The place of the table that keeps values between two calls. */
export const REGISTRY = -1_001_000;

/** Tells lua_sethook to call after so many instructions. */
export const COUNT_HOOK = 8;

/**
 * Starts an interpreter of Lua with the standard libraries.
 * @param maxBytes from which on scripts fail for want of memory
 */
export async function openLua(maxBytes: number): Promise<{ lua: RawLua; state: Pointer }> {
  const engine = await new LuaFactory().createEngine({
    enableProxy: false,
    injectObjects: false,
    traceAllocations: true,
  });
  engine.global.setMemoryMax(maxBytes);
  // The interpreter's exports; wasmoon types only those that it calls itself.
  const lua: RawLua = Object(engine.global.lua.module);
  return { lua, state: engine.global.address };
}
