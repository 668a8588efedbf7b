const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const BACKSLASH = 92;
const OPEN = new Set([91, 123]);
const CLOSE = new Set([93, 125]);
const SPACE = new Set([9, 10, 13, 32]);

/** Where the value of a member stands in the text of an object. */
export interface MemberSpan {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds the value of the outermost object's member, the last one where several have that name, as every reader takes
 * it. The text must be valid JSON.
 */
export function memberSpan(json: Buffer, name: string): MemberSpan | undefined {
  let found: MemberSpan | undefined;
  let at = json.indexOf("{") + 1;
  while (at < json.length) {
    const key = json.indexOf(QUOTE, at);
    if (key === -1) return found;
    const keyEnd = endOfString(json, key);
    const start = afterSpace(json, json.indexOf(COLON, keyEnd) + 1);
    const end = endOfValue(json, start);
    if (JSON.parse(json.toString("utf8", key, keyEnd)) === name) found = { start, end };
    at = end + 1;
  }
  return found;
}

function endOfString(json: Buffer, start: number): number {
  for (let end = json.indexOf(QUOTE, start + 1); end !== -1; end = json.indexOf(QUOTE, end + 1)) {
    let backslashes = 0;
    while (json[end - 1 - backslashes] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return end + 1;
  }
  return json.length;
}

function afterSpace(json: Buffer, start: number): number {
  let at = start;
  while (SPACE.has(json[at] ?? 0)) at += 1;
  return at;
}

/** Where the comma or the bracket stands that follows the value, or the space before it. */
function endOfValue(json: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < json.length; at += 1) {
    const code = json[at] ?? 0;
    if (code === QUOTE) at = endOfString(json, at) - 1;
    else if (OPEN.has(code)) depth += 1;
    else if (depth === 0 && (code === COMMA || CLOSE.has(code) || SPACE.has(code))) return at;
    else if (CLOSE.has(code)) depth -= 1;
  }
  return json.length;
}
