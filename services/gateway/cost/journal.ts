import { close, open, readFile, rm, write } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import type { JournalFolder } from "./journal-folder.ts";
import type { CostSettings } from "./settings.ts";

const openFile = promisify(open);
const writeFile = promisify(write);
const closeFile = promisify(close);
const readText = promisify(readFile);
const remove = promisify(rm);

const SEGMENT_BYTES = 1_048_576;
// A write is handed to another thread, which costs as much as settling a request does. A process that is killed takes
// what it gathered with it, as it takes the requests that it had under way.
const GATHER_MS = 10;
// What is kept in memory of what is on disk too, so that a ledger that works needs no disk to be read.
const MAX_REMEMBERED_BYTES = 4 * SEGMENT_BYTES;

/** Lines that leave the journal together. */
export interface Segment {
  readonly path: string | undefined;
  /** Undefined once they are on disk alone. */
  lines: string[] | undefined;
  rows: number;
  bytes: number;
  /** What is not on disk yet. */
  unwritten: string;
  file: number | undefined;
  /** Until what is being written is on disk. */
  writing: Promise<void> | undefined;
  /** Whether the disk has failed it: then memory is all that holds it. */
  failed: boolean;
}

export type JournalBounds = CostSettings["journal"];

/**
 * What is settled and not in the ledger yet, in the order in which it came: in files, from where it survives this
 * process, and while it is young or where there is no folder, in memory. Nothing that is appended is ever refused:
 * who appends asks first whether it is full.
 */
export class Journal {
  readonly #folder: JournalFolder | undefined;
  readonly #onFailure: (error: unknown) => void;
  readonly #segments: Segment[] = [];
  #number = 0;
  #rows = 0;
  #bytes = 0;
  #remembered = 0;
  // Bytes that nothing but memory holds.
  #fragile = 0;
  #writing: Promise<void> | undefined;

  /** @param onFailure hears when the disk refuses a segment */
  constructor(folder: JournalFolder | undefined, onFailure: (error: unknown) => void) {
    this.#folder = folder;
    this.#onFailure = onFailure;
  }

  /** How many lines wait. */
  get rows(): number {
    return this.#rows;
  }

  /** Whether there is no room for what further requests would settle. */
  isFull({ maxBytes, maxMemoryBytes }: JournalBounds): boolean {
    return this.#bytes >= maxBytes || this.#fragile >= maxMemoryBytes;
  }

  append(line: string): void {
    let segment = this.#segments.at(-1);
    if (!segment?.lines || segment.bytes >= SEGMENT_BYTES) segment = this.#begin();
    const bytes = Buffer.byteLength(line) + 1;
    segment.lines?.push(line);
    segment.rows += 1;
    segment.bytes += bytes;
    this.#rows += 1;
    this.#bytes += bytes;
    this.#remembered += bytes;
    if (!this.#folder || segment.failed) {
      this.#fragile += bytes;
      return;
    }
    segment.unwritten += `${line}\n`;
    this.#writing ??= wait(GATHER_MS).then(() => this.#write());
  }

  /** The lines that have waited longest, which get no more; undefined when nothing waits. */
  async oldest(): Promise<{ segment: Segment; lines: readonly string[] } | undefined> {
    const [segment] = this.#segments;
    if (!segment || segment.rows === 0) return undefined;
    if (this.#segments.length === 1) this.#begin();
    if (segment.lines) return { segment, lines: segment.lines };
    try {
      const text = await readText(segment.path ?? "", "utf8");
      return { segment, lines: text.split("\n").filter(Boolean) };
    } catch (error) {
      // The file stays for whoever finds it when this process is gone.
      this.#forget(segment);
      this.#onFailure(error);
      return this.oldest();
    }
  }

  /** Forgets the oldest segment, since the ledger has it. */
  async done(segment: Segment): Promise<void> {
    this.#forget(segment);
    segment.unwritten = "";
    await segment.writing;
    await this.#drop(segment);
  }

  /** Resolves once all that can be is on disk. */
  async flushed(): Promise<void> {
    await this.#writing;
    if (this.#writing !== undefined) await this.flushed();
  }

  async close(): Promise<void> {
    await this.flushed();
    for (const segment of this.#segments) {
      if (segment.rows === 0) await this.#drop(segment);
      else await this.#closeFile(segment);
    }
  }

  #forget(segment: Segment): void {
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    this.#rows -= segment.rows;
    this.#bytes -= segment.bytes;
    if (segment.lines) this.#remembered -= segment.bytes;
    if (!this.#folder || segment.failed) this.#fragile -= segment.bytes;
  }

  #begin(): Segment {
    this.#number += 1;
    const path = this.#folder?.segment(this.#number);
    const segment: Segment = {
      path,
      lines: [],
      rows: 0,
      bytes: 0,
      unwritten: "",
      file: undefined,
      writing: undefined,
      failed: false,
    };
    this.#segments.push(segment);
    return segment;
  }

  async #write(): Promise<void> {
    const next = () => this.#segments.find(({ unwritten }) => unwritten !== "");
    for (let segment = next(); segment; segment = next()) {
      segment.writing = this.#writeSegment(segment, segment.unwritten);
      await segment.writing;
      segment.writing = undefined;
    }
    this.#writing = undefined;
  }

  async #writeSegment(segment: Segment, text: string): Promise<void> {
    segment.unwritten = "";
    try {
      segment.file ??= await openFile(segment.path ?? "", "ax", 0o600);
      let rest = Buffer.from(text);
      while (rest.length > 0) {
        const { bytesWritten } = await writeFile(segment.file, rest);
        rest = rest.subarray(bytesWritten);
      }
    } catch (error) {
      segment.failed = true;
      segment.unwritten = "";
      if (this.#segments.includes(segment)) this.#fragile += segment.bytes;
      this.#onFailure(error);
      return;
    }
    this.#forgetText();
  }

  // The oldest go to the ledger first: their text is worth the memory most.
  #forgetText(): void {
    const full = this.#segments.filter(
      ({ lines, bytes, failed, unwritten }) => lines && !failed && unwritten === "" && bytes >= SEGMENT_BYTES,
    );
    while (this.#remembered > MAX_REMEMBERED_BYTES) {
      const segment = full.pop();
      if (!segment) return;
      segment.lines = undefined;
      this.#remembered -= segment.bytes;
      this.#closeFile(segment).catch(this.#onFailure);
    }
  }

  async #closeFile(segment: Segment): Promise<void> {
    const { file } = segment;
    segment.file = undefined;
    if (file !== undefined) await closeFile(file);
  }

  async #drop(segment: Segment): Promise<void> {
    await this.#closeFile(segment);
    if (segment.path !== undefined) await remove(segment.path, { force: true });
  }
}
