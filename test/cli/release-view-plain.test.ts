import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createView } from "../../cli/release-view.ts";
import { sampleAt } from "./release-samples.ts";
import { Screen } from "./screen.ts";

const escapes = (text: string) => text.split("\u001b").length - 1;

class Sink extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk;
    done();
  }

  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }
}

beforeEach(() => {
  vi.stubEnv("NO_COLOR", "");
  vi.stubEnv("TERM", "xterm-256color");
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("where there is no terminal", () => {
  test("a sample is one line with all that a block shows, without escape codes", () => {
    vi.stubEnv("FORCE_COLOR", "1");
    const sink = new Sink();
    createView({ stream: sink }).show(sampleAt(0));
    expect(sink.text).toBe(
      "2026-11-21T08:00:00.000Z | stage 2 of 4 | blue 75 %, green 25 % | " +
        "blue 3f2a9c1b77aa: requests/s 12.3, errors 0.04 %, p95 812 ms, first token 200 ms, quality 0.849, complaints 3 | " +
        "green 9c1b3f2a0011: requests/s 12.3, errors –, p95 1.50 s, first token 200 ms, quality 0.849, complaints 3 | " +
        "hold: too few requests\n",
    );
  });

  test("figures alone are told every 5 seconds of the samples' time", () => {
    const sink = new Sink();
    const view = createView({ stream: sink });
    for (let second = 0; second <= 12; second += 1) view.show(sampleAt(second));
    expect(sink.lines.map((line) => line.slice(11, 19))).toEqual(["08:00:00", "08:00:05", "08:00:10"]);
  });

  test("another stage, decision or reason is told at once, and begins the 5 seconds anew", () => {
    const sink = new Sink();
    const view = createView({ stream: sink });
    view.show(sampleAt(0));
    view.show(sampleAt(1, { stage: "stage 3 of 4" }));
    view.show(sampleAt(2, { stage: "stage 3 of 4", decision: "promote" }));
    view.show(sampleAt(3, { stage: "stage 3 of 4", decision: "promote", reasons: ["errors below 1 %"] }));
    view.show(sampleAt(7, { stage: "stage 3 of 4", decision: "promote", reasons: ["errors below 1 %"] }));
    expect(sink.lines.map((line) => line.slice(11, 19))).toEqual([
      "08:00:00",
      "08:00:01",
      "08:00:02",
      "08:00:03",
    ]);
  });

  test("notes are lines, progress is not shown, text from outside stays on its line", () => {
    const sink = new Sink();
    const view = createView({ stream: sink });
    view.progress("deploying green");
    view.note("green\nis \u001b[31mdeployed\u001b[0m\u0007");
    view.show(sampleAt(0, { stage: "a\nb", reasons: ["c\r\nd\u001b[2J"] }));
    view.end();
    view.show(sampleAt(9));
    expect(sink.lines).toHaveLength(2);
    expect(sink.lines[0]).toBe("green is deployed");
    expect(sink.lines[1]).toMatch(/ \| a b \| .*hold: c d$/u);
    expect(escapes(sink.text)).toBe(0);
  });

  test.each([
    ["can only print", "dumb", 50],
    ["does not tell its size", "xterm", 0],
  ])("a terminal that %s gets lines, too", (_, term, rows) => {
    vi.stubEnv("TERM", term);
    const screen = new Screen(400);
    screen.rows = rows;
    createView({ stream: screen }).show(sampleAt(0));
    expect(escapes(screen.raw)).toBe(0);
    expect(screen.lines[0]).toContain("| stage 2 of 4 |");
  });

  test("a caller may say that it is none, or one", () => {
    const screen = new Screen(400);
    createView({ stream: screen, isTTY: false }).show(sampleAt(0));
    expect(escapes(screen.raw)).toBe(0);
    const sink = new Sink();
    createView({ stream: sink, isTTY: true, columns: 80 }).show(sampleAt(0));
    expect(escapes(sink.text)).toBeGreaterThan(0);
  });
});
