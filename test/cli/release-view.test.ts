import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createView } from "../../cli/release-view.ts";
import { color, sampleAt } from "./release-samples.ts";
import { Screen } from "./screen.ts";

beforeEach(() => {
  vi.stubEnv("NO_COLOR", "");
  vi.stubEnv("TERM", "xterm-256color");
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("on a terminal", () => {
  test("a sample is a block: stage, weights, both colors' figures, the verdict and why", () => {
    const screen = new Screen(80);
    createView({ stream: screen }).show(sampleAt(0));
    expect(screen.text).toBe(
      [
        "",
        "stage 2 of 4",
        "blue 75 % ██████████████████████████████░░░░░░░░░░ 25 % green",
        "",
        "             blue         green",
        "release      3f2a9c1b77aa 9c1b3f2a0011",
        "share        75 %         25 %",
        "requests/s   12.3         12.3",
        "errors       0.04 %       –",
        "p95          812 ms       1.50 s",
        "first token  200 ms       200 ms",
        "quality      0.849        0.849",
        "complaints   3            3",
        "",
        "hold",
        "  too few requests",
      ].join("\n"),
    );
  });

  test("the next sample takes the place of the one before, whichever of them is longer", () => {
    const screen = new Screen(80);
    const view = createView({ stream: screen });
    const short = sampleAt(2, { decision: "promote", reasons: [], stage: "stage 3 of 4" });
    view.show(sampleAt(0, { reasons: ["one", "two", "three", "four", "five"] }));
    expect(screen.text).toContain("  three\n  and 2 more");
    view.show(short);
    const alone = new Screen(80);
    createView({ stream: alone }).show(short);
    expect(screen.text).toBe(alone.text);
  });

  test("notes stay above the block, in their order", () => {
    const screen = new Screen(80);
    const view = createView({ stream: screen });
    view.note("requested   9c1b3f2a0011");
    view.show(sampleAt(0));
    view.note("green is deployed");
    view.show(sampleAt(1, { stage: "stage 4 of 4" }));
    view.end();
    expect(screen.lines.slice(0, 4)).toEqual([
      "requested   9c1b3f2a0011",
      "green is deployed",
      "",
      "stage 4 of 4",
    ]);
    expect(screen.text.match(/too few requests/gu)).toHaveLength(1);
  });

  test("progress is shown below the block until it is another one, none or the end", () => {
    const screen = new Screen(80);
    const view = createView({ stream: screen });
    view.progress("deploying green");
    expect(screen.text).toBe("… deploying green");
    view.show(sampleAt(0));
    expect(screen.lines.findLast((line) => line !== "")).toBe("… deploying green");
    view.progress("checking green");
    expect(screen.text).not.toContain("deploying green");
    expect(screen.text).toContain("… checking green");
    view.progress("");
    expect(screen.text).not.toContain("…");
    view.progress("removing blue");
    view.end();
    expect(screen.text).not.toContain("…");
    expect(screen.text).toContain("stage 2 of 4");
  });

  test("progress alone leaves nothing behind", () => {
    const screen = new Screen(80);
    const view = createView({ stream: screen });
    view.progress("deploying green");
    view.end();
    expect(screen.text).toBe("");
  });

  test("after the end only notes are shown", () => {
    const screen = new Screen(80);
    const view = createView({ stream: screen });
    view.show(sampleAt(0));
    view.end();
    const before = screen.text;
    view.show(sampleAt(1, { stage: "late" }));
    view.progress("late");
    view.end();
    view.note("report: r.html");
    expect(screen.text).toBe(`${before}\nreport: r.html`);
  });

  test.each([
    [0, "█".repeat(40)],
    [1, `${"█".repeat(39)}░`],
    [99, `█${"░".repeat(39)}`],
    [100, "░".repeat(40)],
  ])("with %i %% on green the bar says so, and a color with any traffic is seen", (green, bar) => {
    const screen = new Screen(80);
    createView({ stream: screen }).show(sampleAt(0, { weights: { blue: 100 - green, green } }));
    expect(screen.text).toContain(`blue ${100 - green} % ${bar} ${green} % green`);
  });

  test("a color that does not run and figures that nobody knows are dashes", () => {
    const screen = new Screen(80);
    const unknown = color({
      ...{ requestRate: null, errorRate: Number.NaN, p95Seconds: null },
      ...{ firstTokenP95Seconds: null, quality: null, complaints: null },
    });
    createView({ stream: screen }).show(sampleAt(0, { colors: { blue: unknown } }));
    const rows = screen.lines.slice(7, 13).map((line) => line.split(/\s{2,}/u));
    expect(rows).toEqual(
      ["requests/s", "errors", "p95", "first token", "quality", "complaints"].map((name) =>
        [name, "–           –"].flatMap((part) => part.split(/\s{2,}/u)),
      ),
    );
  });

  test.each([40, 20])("of %i columns no line is longer, and reasons break between words", (columns) => {
    const screen = new Screen(columns);
    const view = createView({ stream: screen });
    view.note("release 9c1b3f2a0011 (a label that is longer than the terminal is wide) was asked for");
    view.progress("waiting for the gateway of green to be ready to serve");
    view.show(
      sampleAt(0, {
        stage: "a stage with a rather long name that nobody needs",
        reasons: [
          "errors on green: 0.12 % of 4,210 requests, not yet proven",
          "日本語".repeat(60),
          "x".repeat(500),
        ],
      }),
    );
    expect(screen.lines.filter((line) => line.length > columns)).toEqual([]);
    const wide = screen.lines.filter((line) => /\p{Script=Han}/u.test(line));
    expect(wide.filter((line) => !/^ {2}\S/u.test(line) || line.length * 2 - 2 > columns)).toEqual([]);
    expect(wide.length).toBeGreaterThan(1);
    expect(screen.text).toContain(
      columns === 40
        ? "  errors on green: 0.12 % of 4,210\n  requests, not yet proven\n"
        : "  errors on green:\n",
    );
    expect(screen.lines.filter((line) => /^ {2}x+…?$/u.test(line))).toHaveLength(3);
  });

  test("the columns are read anew: people resize their terminals", () => {
    const screen = new Screen(80);
    const view = createView({ stream: screen });
    view.show(sampleAt(0));
    screen.columns = 40;
    view.show(sampleAt(1));
    expect(screen.lines.filter((line) => line.length > 40)).toEqual([]);
  });

  test("text from outside brings no control sequence, whatever it is", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 30 }),
      fc.constantFrom(
        "\u001b[2J\u001b[H",
        "\u001b]0;title\u0007",
        "a\rb\nc\td",
        "\u009b31m",
        "\u202eright",
        "\u001b\u001b[31m[31m",
      ),
    );
    fc.assert(
      fc.property(text, (payload) => {
        // The screen throws at any control that views do not use themselves.
        const screen = new Screen(60);
        const view = createView({ stream: screen });
        view.note(payload);
        view.progress(payload);
        view.show(
          sampleAt(0, { stage: payload, reasons: [payload], colors: { green: color({ release: payload }) } }),
        );
        view.end();
        expect(screen.text).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/u);
      }),
      { numRuns: 300 },
    );
  });

  test("a payload brings no color of its own", () => {
    const [plain, colored] = [new Screen(80), new Screen(80)];
    createView({ stream: plain }).show(sampleAt(0, { reasons: ["red"] }));
    createView({ stream: colored }).show(sampleAt(0, { reasons: ["\u001b[31mred\u001b[0m"] }));
    expect(colored.raw).toBe(plain.raw);
  });

  test("verdicts are colored, unless NO_COLOR is set", () => {
    const colored = new Screen(80);
    createView({ stream: colored }).show(sampleAt(0, { decision: "roll back" }));
    expect(colored.raw).toContain("\u001b[31mroll back\u001b[39m");
    vi.stubEnv("NO_COLOR", "1");
    const plain = new Screen(80);
    createView({ stream: plain }).show(sampleAt(0, { decision: "roll back" }));
    expect(plain.raw.split("\u001b[").filter((part) => /^\d+m/u.test(part))).toEqual([]);
    expect(plain.text).toBe(colored.text);
  });
});
