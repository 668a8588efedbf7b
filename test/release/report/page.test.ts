import fc from "fast-check";
import { expect, test } from "vitest";
import { renderReport } from "../../../release/report/index.ts";
import type { ReleaseReport } from "../../../release/samples.ts";
import { colorSample, plotsOf, report, sampleAt } from "./support.ts";

const textOf = (document: string) =>
  document.replaceAll(/<style>.*?<\/style>|<[^>]*>/gsu, " ").replaceAll(/\s+/gu, " ");

/** Every place of a report that holds text from outside. */
const filledWith = (text: string): ReleaseReport =>
  report({
    environment: text,
    release: text,
    label: text,
    previous: text,
    strategy: text,
    by: text,
    reason: text,
    changes: [text],
    samples: [
      sampleAt(0, { stage: text, reasons: [text], colors: { blue: colorSample({ release: text }) } }),
      sampleAt(30, { stage: `${text}2` }),
    ],
    decisions: [{ at: sampleAt(5).at, kind: text, text }],
  });

/** A document without what its texts and attributes say. */
const skeleton = (document: string) =>
  document
    .replaceAll(/="[^"]*"/gu, '=""')
    .replaceAll(/(?<=>)[^<]*/gu, "")
    // Whether a label fits depends on how wide it is.
    .replaceAll(/<text class=""[^>]*><\/text>/gu, "");

test("the head tells what came of which release, where, by whom, when and why", () => {
  const text = textOf(
    renderReport(
      report({
        label: "shorter prompt",
        outcome: "rolled back",
        reason: "errors on green are above 1 %",
        endedAt: sampleAt(312).at,
      }),
    ),
  );
  expect(text).toContain(
    "Release 9c1b3f2a0011 ( shorter prompt ) on local ↩ Rolled back errors on green are above 1 %",
  );
  expect(text).toContain("number 7, canary");
  expect(text).toContain("blue ( 3f2a9c1b77aa ) → green ( 9c1b3f2a0011 )");
  expect(text).toContain("By ana@build-3");
  expect(text).toContain("Began 2026-11-21 08:00:00 UTC");
  expect(text).toContain("Ended 2026-11-21 08:05:12 UTC");
  expect(text).toContain("Took 5 min 12 s");
});

test.each([
  ["released", "✓ Released"],
  ["rolled back", "↩ Rolled back"],
  ["under way", "… Under way"],
] as const)("a release that is %s is headed by it", (outcome, sign) => {
  expect(textOf(renderReport(report({ outcome })))).toContain(sign);
});

test("a release under way lasts until its last sample, later than its last decision", () => {
  const document = renderReport(
    report({ outcome: "under way", endedAt: sampleAt(2).at, samples: [sampleAt(90)] }),
  );
  expect(textOf(document)).toContain("So far 1 min 30 s");
});

test("the verdict is that of the last sample that was judged, with all its reasons", () => {
  const samples = [
    sampleAt(0, { decision: "hold", reasons: ["too few requests"] }),
    sampleAt(1, {
      decision: "roll back",
      reasons: ["errors above 1 %", "quality fell"],
      stage: "stage 2 of 4",
    }),
    sampleAt(2, { stage: "removing green" }),
  ];
  const text = textOf(renderReport(report({ samples })));
  expect(text).toContain("roll back at 2026-11-21 08:00:01 UTC, stage 2 of 4 errors above 1 % quality fell");
  expect(text).not.toContain("too few requests");
});

test("the journal's decisions are numbered rows, in their order", () => {
  const decisions = [
    { at: sampleAt(1).at, kind: "shifted", text: "25 % to green" },
    { at: sampleAt(9).at, kind: "rolled-back", text: "errors" },
  ];
  const text = textOf(renderReport(report({ decisions })));
  expect(text).toContain("1 2026-11-21 08:00:01 UTC shifted 25 % to green");
  expect(text).toContain("2 2026-11-21 08:00:09 UTC rolled back errors");
});

test("what changed is listed by part", () => {
  expect(renderReport(report({ changes: ["gateway", "prompts/support"] }))).toMatch(
    /<li><bdi>gateway<\/bdi><\/li>\s*<li><bdi>prompts\/support<\/bdi><\/li>/u,
  );
});

test("no text from outside adds, ends or changes an element, whatever it is", () => {
  const harmless = skeleton(renderReport(filledWith("x")));
  const text = fc.oneof(
    fc.string({ unit: "binary", minLength: 1 }),
    fc.constantFrom(
      "</title><script>alert(1)</script>",
      '"><img src=x onerror=alert(1)>',
      "' onload='x",
      "&lt;b&gt;",
      "]]>",
      "<!--",
    ),
  );
  fc.assert(
    fc.property(text, (payload) => {
      expect(skeleton(renderReport(filledWith(payload)))).toBe(harmless);
    }),
    { numRuns: 200 },
  );
});

test("text from outside keeps its characters, without control characters and turns of direction", () => {
  const document = renderReport(report({ label: `a<b> & "c" 'd' \u001b[31mred\u0000\u202e\n日本語` }));
  expect(document).toContain("<bdi>a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; red 日本語</bdi>");
});

test("the document needs no script and nothing from elsewhere, and forbids both", () => {
  const document = renderReport(report({ samples: [sampleAt(0), sampleAt(1)] }));
  expect(document).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
  expect(document).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\shref=|\ssrc=|\son\w+=/iu);
});

test("without samples the report says so instead of plotting nothing", () => {
  const document = renderReport(report());
  expect(plotsOf(document)).toHaveLength(0);
  expect(document).toContain("No sample was taken.");
  expect(document).toContain("No sample was judged.");
});

test("a sample whose time is none is left out of the plots", () => {
  const document = renderReport(report({ samples: [{ ...sampleAt(0), at: "yesterday" }, sampleAt(1)] }));
  expect(plotsOf(document)).toHaveLength(5);
  expect(document).not.toMatch(/NaN|undefined|Infinity/u);
});

test("the table holds every sample of a few, and unknown figures as such", () => {
  const green = colorSample({
    errorRate: 0.0123,
    p95Seconds: null,
    firstTokenP95Seconds: 0.05,
    quality: 0.8499,
  });
  const document = renderReport(report({ samples: [sampleAt(0), sampleAt(1, { colors: { green } })] }));
  const rows = textOf(document.slice(document.indexOf("<details>"), document.indexOf("</details>")));
  expect(rows).toContain(
    "08:00:00 UTC stage 1 of 1 75 % 25 % 0 % 0 % 800 ms 800 ms 200 ms 200 ms 0.900 0.900",
  );
  expect(rows).toContain("08:00:01 UTC stage 1 of 1 75 % 25 % – 1.23 % – – – 50 ms – 0.849");
});

test("the table of 10,000 samples has 200 rows that show the worst of theirs", () => {
  const samples = Array.from({ length: 10_000 }, (_, second) => sampleAt(second));
  samples[5_017] = sampleAt(5_017, { colors: { green: colorSample({ errorRate: 0.31, quality: 0.2 }) } });
  const document = renderReport(report({ samples }));
  const table = document.slice(document.indexOf("<details>"), document.indexOf("</details>"));
  expect(table.match(/<th scope="row">/gu)).toHaveLength(200);
  expect(textOf(table)).toContain("up to 50 samples");
  expect(textOf(table)).toMatch(
    /09:23:20 UTC stage 1 of 1 75 % 25 % 0 % 31 % 800 ms 800 ms 200 ms 200 ms 0.900 0.200/u,
  );
});
