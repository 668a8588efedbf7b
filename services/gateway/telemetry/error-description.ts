const MAX_FRAMES = 20;
// Where the gateway is installed says nothing, and the address of code that was given as data is the code itself.
const INSTALLED = /^.*\/(?=(?:services|node_modules)\/)|(?<=^data:).*/;
const FRAME = /^\s+at (?:(.+?) \()?(?:file:\/\/)?(.*?):(\d+):(\d+)\)?$/;

/** Where an error passed. */
export interface Frame {
  readonly function: string | undefined;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** What may be told of any error. Its message is not part of it: it may repeat what a client wrote. */
export interface ErrorDescription {
  readonly type: string;
  /** Of an error of Node.js, of a data store or of a library. */
  readonly code: string | undefined;
  /** The innermost first. */
  readonly frames: readonly Frame[];
}

export function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, code: undefined, frames: [] };
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return { type: error.constructor.name, code, frames: framesOf(error) };
}

function framesOf({ message, name, stack = "" }: Error): Frame[] {
  // The message comes first and may have lines that look like frames.
  const start = stack.startsWith(name) ? stack.indexOf(message) + message.length : 0;
  return stack
    .slice(start)
    .split("\n")
    .map((line) => FRAME.exec(line))
    .filter((found) => found !== null)
    .slice(0, MAX_FRAMES)
    .map(([, name, file = "", line, column]) => ({
      function: name,
      file: file.replace(INSTALLED, ""),
      line: Number(line),
      column: Number(column),
    }));
}
