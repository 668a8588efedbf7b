import { parseCLI, startVitest } from "vitest/node";
import { SummaryReporter } from "./summary.ts";

/** `npm test [-- <vitest filters and options>]`: runs the suites and ends with one line that counts them. */
const { filter, options } = parseCLI(["vitest", ...process.argv.slice(2)]);
const reporter = new SummaryReporter();
const vitest = await startVitest("test", filter, {
  ...options,
  watch: false,
  reporters: ["default", reporter],
});
await vitest.close();

const { passed, failed, skipped } = reporter.summary;
if (skipped.length > 0) console.log(`Skipped:\n${skipped.map((name) => `  ${name}`).join("\n")}\n`);
console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
if (failed > 0 || passed === 0) process.exitCode = 1;
