import { createLogUpdate } from "log-update";
import pc from "picocolors";
import { COLORS } from "../release/contract/head.ts";
import { plainText } from "../release/report/text.ts";
import type { Sample } from "../release/samples.ts";
import { block, FIGURES, type Look, wrap } from "./release-view-block.ts";

/** What people see while a release goes on. Text from outside can neither color nor move anything. */
export interface ReleaseView {
  /** The latest look at the release. */
  show(sample: Sample): void;
  /** A line that stays, such as a step that is done. */
  note(text: string): void;
  /** What is being done at the moment; empty when nothing is. Only a terminal shows it. */
  progress(text: string): void;
  /** Leaves the last state on the screen and shows the cursor; only notes are shown after. */
  end(): void;
}

export interface ViewOptions {
  stream: NodeJS.WritableStream & { isTTY?: boolean; columns?: number; rows?: number };
  /** Cells of a line. Default: the stream's, or 80. */
  columns?: number;
  /** Whether lines can be drawn anew. Default: as the stream says, unless its size is 0 or TERM is "dumb". */
  isTTY?: boolean;
}

const DEFAULT_COLUMNS = 80;
/** Of a terminal that is narrower, log-update breaks the lines. */
const LEAST_COLUMNS = 20;
/** Of the samples' own time: how often plain lines tell of figures alone. */
const PLAIN_INTERVAL_MS = 5000;

/** A live block on a terminal, plain lines elsewhere. NO_COLOR is respected. */
export function createView(options: ViewOptions): ReleaseView {
  const live = options.isTTY ?? canRedraw(options.stream);
  return live ? new LiveView(options) : new PlainView(options.stream);
}

/** Without a size, as some containers and CI systems give a terminal, nobody knows what a line takes. */
function canRedraw({ isTTY, columns, rows }: ViewOptions["stream"]): boolean {
  return isTTY === true && process.env.TERM !== "dumb" && columns !== 0 && rows !== 0;
}

/** log-update hides the cursor, and shows it again in `done` as well as at the end or the interruption of the process. */
class LiveView implements ReleaseView {
  readonly #options: ViewOptions;
  readonly #update: ReturnType<typeof createLogUpdate>;
  readonly #pc = pc.createColors(!process.env.NO_COLOR);
  #sample: Sample | undefined;
  #progress = "";
  #ended = false;

  constructor(options: ViewOptions) {
    this.#options = options;
    this.#update = createLogUpdate(options.stream, { defaultWidth: options.columns ?? DEFAULT_COLUMNS });
  }

  show(sample: Sample): void {
    this.#sample = sample;
    this.#draw();
  }

  note(text: string): void {
    this.#update.persist(wrap(text, this.#look().columns).join("\n"));
    this.#draw();
  }

  progress(text: string): void {
    this.#progress = text;
    this.#draw();
  }

  end(): void {
    if (this.#ended) return;
    this.#progress = "";
    this.#draw();
    this.#ended = true;
    this.#update.done();
  }

  #draw(): void {
    if (this.#ended) return;
    const lines = this.#lines();
    // Nothing was shown yet, or what was is over: an empty block would leave an empty line.
    if (lines.length === 0) this.#update.clear();
    else this.#update(lines.join("\n"));
  }

  #lines(): string[] {
    const look = this.#look();
    const lines = this.#sample ? ["", ...block(this.#sample, look)] : [];
    if (this.#progress === "") return lines;
    return [...lines, ...wrap(`… ${this.#progress}`, look.columns).map((line) => this.#pc.dim(line))];
  }

  /** Read anew each time: people resize their terminals. */
  #look(): Look {
    const { columns, stream } = this.#options;
    return { columns: Math.max(LEAST_COLUMNS, columns ?? stream.columns ?? DEFAULT_COLUMNS), pc: this.#pc };
  }
}

/** For logs and pipes: a line per change, and else one in a while. */
class PlainView implements ReleaseView {
  readonly #stream: NodeJS.WritableStream;
  #told = "";
  #toldAt = Number.NEGATIVE_INFINITY;
  #ended = false;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  show(sample: Sample): void {
    if (this.#ended) return;
    const { stage, decision, reasons = [] } = sample;
    // The figures inside a reason change with every look; what it says does not.
    const said = reasons.map((reason) => reason.replaceAll(/\d+(\.\d+)?/g, "#"));
    const news = JSON.stringify([stage, decision, said]);
    const at = Date.parse(sample.at);
    if (news === this.#told && !(at - this.#toldAt >= PLAIN_INTERVAL_MS)) return;
    this.#told = news;
    if (Number.isFinite(at)) this.#toldAt = at;
    this.#stream.write(`${plainLine(sample)}\n`);
  }

  note(text: string): void {
    this.#stream.write(`${plainText(text)}\n`);
  }

  progress(): void {}

  end(): void {
    this.#ended = true;
  }
}

function plainLine({ at, stage, weights, colors, decision, reasons = [] }: Sample): string {
  const figures = COLORS.flatMap((color) => {
    const known = colors[color];
    if (!known) return [];
    return `${color} ${known.release}: ${FIGURES.map(({ name, write }) => `${name} ${write(known)}`).join(", ")}`;
  });
  const verdict = [decision ?? "", reasons.join("; ")].filter((part) => part !== "").join(": ");
  const shares = COLORS.map((color) => `${color} ${weights[color]} %`).join(", ");
  return plainText([at, stage, shares, ...figures, verdict].filter((part) => part !== "").join(" | "));
}
