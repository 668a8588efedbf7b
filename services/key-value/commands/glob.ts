/** A pattern of Redis (`*`, `?`, `[a-z]`, `[^a]`, `\` before a character taken as it is) as a regular expression. */
export function globToRegExp(glob: string): RegExp {
  let source = "";
  for (let i = 0; i < glob.length; i += 1) {
    const character = glob.charAt(i);
    if (character === "*") {
      // Several in a row mean the same as one, and would make the expression slow.
      if (!source.endsWith("[^]*")) source += "[^]*";
    } else if (character === "?") source += "[^]";
    else if (character === "[") {
      const end = endOfClass(glob, i);
      source += characterClass(glob.slice(i + 1, end));
      i = end;
    } else {
      if (character === "\\" && i + 1 < glob.length) i += 1;
      source += literal(glob.charAt(i));
    }
  }
  return new RegExp(`^${source}$`);
}

function endOfClass(glob: string, start: number): number {
  let i = start + 1;
  while (i < glob.length && glob.charAt(i) !== "]") i += glob.charAt(i) === "\\" ? 2 : 1;
  return Math.min(i, glob.length);
}

function characterClass(body: string): string {
  const negated = body.startsWith("^");
  let members = "";
  for (let i = negated ? 1 : 0; i < body.length; i += 1) {
    if (body.charAt(i) === "\\" && i + 1 < body.length) {
      i += 1;
      members += literal(body.charAt(i));
    } else if (body.charAt(i + 1) === "-" && i + 2 < body.length) {
      const [low = "", high = ""] = [body.charAt(i), body.charAt(i + 2)].sort();
      members += `${literal(low)}-${literal(high)}`;
      i += 2;
    } else members += literal(body.charAt(i));
  }
  if (members === "") return negated ? "[^]" : "[]";
  return negated ? `[^${members}]` : `[${members}]`;
}

function literal(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
