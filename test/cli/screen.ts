import { Writable } from "node:stream";

const ESCAPE = "\u001b";
const TOKEN = new RegExp(`${ESCAPE}\\[[?\\d;]*[A-Za-z]|[\\s\\S]`, "gu");
const CONTROL = new RegExp(`^${ESCAPE}\\[([?\\d;]*)([A-Za-z])$`, "u");

/** A terminal's screen: it carries out the sequences that views use and refuses any other. */
export class Screen extends Writable {
  readonly isTTY = true;
  columns: number;
  rows = 50;
  /** All that was written. */
  raw = "";
  readonly #lines: string[][] = [[]];
  #row = 0;
  #column = 0;

  constructor(columns: number) {
    super({ decodeStrings: false });
    this.columns = columns;
  }

  /** What can be read on it, without trailing blanks. */
  get lines(): string[] {
    return this.#lines.map((cells) =>
      Array.from(cells, (cell) => cell ?? " ")
        .join("")
        .trimEnd(),
    );
  }

  get text(): string {
    return this.lines.join("\n").trimEnd();
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.raw += chunk;
    for (const [token] of String(chunk).matchAll(TOKEN)) this.#take(token);
    done();
  }

  #take(token: string): void {
    if (token === "\n") this.#move(this.#row + 1, 0);
    else if (token.length > 1 && token.startsWith(ESCAPE)) this.#control(token);
    else if (/\p{Cc}/u.test(token))
      throw new Error(`a control character reached the screen: ${JSON.stringify(token)}`);
    else this.#put(token);
  }

  #put(character: string): void {
    if (this.#column >= this.columns)
      throw new Error(`a line is longer than ${this.columns} cells: ${this.lines[this.#row]}`);
    const line = this.#lines[this.#row] ?? [];
    line[this.#column] = character;
    this.#column += 1;
    if (!/\p{Script=Han}/u.test(character)) return;
    // It is as wide as two.
    line[this.#column] = "";
    this.#column += 1;
  }

  #control(sequence: string): void {
    const [, text = "", kind = ""] = CONTROL.exec(sequence) ?? [];
    const line = this.#lines[this.#row] ?? [];
    const actions: Record<string, () => void> = {
      A: () => this.#move(this.#row - Number(text || 1), this.#column),
      B: () => this.#move(this.#row + Number(text || 1), this.#column),
      G: () => this.#move(this.#row, Number(text || 1) - 1),
      K: () => line.splice(text === "2" ? 0 : this.#column),
      // Colors; begin and end of a synchronised frame.
      ...Object.fromEntries(["m", "h", "l"].map((name) => [name, () => {}])),
    };
    const action = actions[kind];
    if (!action) throw new Error(`unknown to this screen: ${JSON.stringify(sequence)}`);
    action();
  }

  #move(row: number, column: number): void {
    this.#row = Math.max(0, row);
    this.#column = column;
    while (this.#lines.length <= this.#row) this.#lines.push([]);
  }
}
