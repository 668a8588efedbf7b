import type { Reporter, TestCase, TestModule } from "vitest/node";

export interface Summary {
  passed: number;
  failed: number;
  /** Full names of the skipped tests, with the reason where the test gives one. */
  skipped: string[];
}

/** Counts what ran, and keeps by name what did not. */
export class SummaryReporter implements Reporter {
  readonly summary: Summary = { passed: 0, failed: 0, skipped: [] };

  onTestCaseResult(test: TestCase): void {
    const result = test.result();
    if (result.state === "passed") this.summary.passed += 1;
    if (result.state === "failed") this.summary.failed += 1;
    if (result.state === "skipped") {
      this.summary.skipped.push(result.note ? `${test.fullName} (${result.note})` : test.fullName);
    }
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const broken = modules.filter((module) => module.state() === "failed" && !hasFailedTest(module));
    this.summary.failed += broken.length + unhandledErrors.length;
  }
}

/** A module can fail without a failing test: it does not load, or a hook of it throws. */
function hasFailedTest(module: TestModule): boolean {
  return [...module.children.allTests("failed")].length > 0;
}
