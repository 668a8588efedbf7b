import { memberSpan } from "./json-member.ts";

const BRACE = /^\s*\{/;
// What comes before the object: enough to see whether it is one.
const HEAD_BYTES = 64;

/**
 * The same JSON object with another value of its own member `model`, every other byte as it was: numbers keep all their
 * digits. What is no JSON object, or has no such member, is given back as it is.
 */
export function withModel(json: Buffer, model: string): Buffer {
  if (!BRACE.test(json.toString("latin1", 0, HEAD_BYTES))) return json;
  try {
    const span = memberSpan(json, "model");
    if (!span) return json;
    return Buffer.concat([
      json.subarray(0, span.start),
      Buffer.from(JSON.stringify(model)),
      json.subarray(span.end),
    ]);
  } catch {
    // A backend's answer need not be JSON.
    return json;
  }
}
