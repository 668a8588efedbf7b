import { describe, expect, test } from "vitest";
import { renderReport } from "../../../release/report/index.ts";
import { ask, missing } from "./chromium.ts";
import { colorSample, report, sampleAt } from "./support.ts";

const reason = missing ? ` (skipped: ${missing})` : "";
const PAYLOAD = `</title></style></svg><script>parent.ran = true</script><img src=x onerror="parent.ran = true">'"&amp;`;

const stages = ["deploying green", "stage 1 of 2", "stage 2 of 2"];
const samples = Array.from({ length: 90 }, (_, second) =>
  sampleAt(second, {
    stage: stages[Math.floor(second / 30)] ?? "",
    reasons: [PAYLOAD],
    colors: {
      blue: colorSample(),
      green: colorSample({ errorRate: second > 40 && second < 50 ? null : 0.001 * (second % 3) }),
    },
  }),
);
const decisions = [0, 1, 2, 30, 31, 60, 61, 89].map((second) => ({
  at: sampleAt(second).at,
  kind: "promoted",
  text: PAYLOAD,
}));
const document = renderReport(
  report({
    samples,
    decisions,
    label: PAYLOAD,
    environment: PAYLOAD,
    reason: PAYLOAD,
    by: PAYLOAD,
    changes: [PAYLOAD],
  }),
);

/** Runs in the browser. */
const LAYOUT = `(document, window) => {
  const boxes = (svg, selector) => Array.from(svg.querySelectorAll(selector), (text) => {
    const { left, right, top, bottom } = text.getBoundingClientRect();
    return { left, right, top, bottom, text: text.textContent };
  });
  const color = (selector, property) => window.getComputedStyle(document.querySelector(selector))[property];
  return {
    ran: window.parent.ran ?? false,
    title: document.title,
    heading: document.querySelector("h1").textContent,
    reasons: Array.from(document.querySelectorAll("h2 + p + ul li"), ({ textContent }) => textContent),
    foreign: document.querySelectorAll("script, img").length,
    headings: Array.from(document.querySelectorAll("h2"), ({ textContent }) => textContent),
    scrollWidth: document.documentElement.scrollWidth,
    paper: color("body", "backgroundColor"), ink: color("body", "color"),
    blue: color(".series.blue", "stroke"), green: color(".series.green", "stroke"),
    dashes: [color(".series.blue", "strokeDasharray"), color(".series.green", "strokeDasharray")],
    plots: Array.from(document.querySelectorAll("figure svg"), (svg) => {
      const { left, right, top, bottom } = svg.getBoundingClientRect();
      return {
        box: { left, right, top, bottom },
        labels: boxes(svg, ".label"),
        ticks: boxes(svg, ".tick"),
        lengths: Array.from(svg.querySelectorAll(".series"), (path) => path.getTotalLength()),
      };
    }),
  };
}`;

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

interface Layout {
  ran: boolean;
  title: string;
  heading: string;
  reasons: string[];
  foreign: number;
  headings: string[];
  scrollWidth: number;
  paper: string;
  ink: string;
  blue: string;
  green: string;
  dashes: string[];
  plots: {
    box: Box;
    labels: (Box & { text: string })[];
    ticks: (Box & { text: string })[];
    lengths: number[];
  }[];
}

const overlap = (a: Box, b: Box) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const inside = (box: Box, outer: Box) =>
  box.left >= outer.left &&
  box.right <= outer.right &&
  box.top >= outer.top - 1 &&
  box.bottom <= outer.bottom + 1;

/** WCAG's contrast of two colors as a browser tells them. */
function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = [...color.matchAll(/[\d.]+/gu)]
    .map(([value]) => Number(value) / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

describe.skipIf(missing !== undefined)(`a report in Chromium${reason}`, () => {
  test("shows payloads as text and runs none of them", async () => {
    const layout = await ask<Layout>(document, LAYOUT, { scheme: "light" });
    expect(layout.ran).toBe(false);
    expect(layout.foreign).toBe(0);
    expect(layout.title).toContain(PAYLOAD);
    expect(layout.heading).toContain(`(${PAYLOAD}) on ${PAYLOAD}`);
    expect(layout.reasons).toEqual([PAYLOAD]);
    expect(layout.headings).toEqual(["What changed", "Verdict", "Figures over time", "Decisions"]);
  });

  test.each(["light", "dark"] as const)("has lines and text that stand out from %s paper", async (scheme) => {
    const layout = await ask<Layout>(document, LAYOUT, { scheme });
    expect(luminance(layout.paper) > 0.5).toBe(scheme === "light");
    expect(contrast(layout.ink, layout.paper)).toBeGreaterThan(7);
    expect(contrast(layout.blue, layout.paper)).toBeGreaterThan(3);
    expect(contrast(layout.green, layout.paper)).toBeGreaterThan(3);
    expect(layout.dashes[0]).not.toBe(layout.dashes[1]);
  });

  test("draws both colors in every plot, and no label over another or out of its plot", async () => {
    const { plots } = await ask<Layout>(document, LAYOUT, { scheme: "light" });
    expect(plots).toHaveLength(5);
    for (const { box, labels, ticks, lengths } of plots) {
      expect(lengths.every((length) => length > 100)).toBe(true);
      expect(labels.map(({ text }) => text)).toEqual(expect.arrayContaining(stages));
      const texts = [...labels, ...ticks];
      expect(texts.filter((text) => !inside(text, box))).toEqual([]);
      const pairs = texts.flatMap((text, index) =>
        texts.slice(index + 1).map((other) => [text, other] as const),
      );
      expect(pairs.filter(([one, other]) => overlap(one, other))).toEqual([]);
    }
  });

  test("fits a telephone: wide parts scroll on their own", async () => {
    const { scrollWidth } = await ask<Layout>(document, LAYOUT, { scheme: "light", width: 390 });
    expect(scrollWidth).toBeLessThanOrEqual(390);
  });
});
