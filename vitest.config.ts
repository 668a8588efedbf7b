import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Every test starts its own servers on free ports; two workers fill the smallest machine that is supported.
    maxWorkers: 2,
  },
});
