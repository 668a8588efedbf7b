import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const CHILD = fileURLToPath(new URL("release-view-child.ts", import.meta.url));
// util-linux's script gives a program a terminal; that of macOS and BSD takes other options.
const noTerminal = spawnSync("script", ["--version"]).stdout?.includes("util-linux")
  ? ""
  : " (skipped: no script of util-linux on the PATH)";

describe.skipIf(noTerminal !== "")(`the cursor${noTerminal}`, () => {
  test.each(["end", "exit", "SIGINT", "SIGTERM", "SIGHUP"])(
    "is hidden while the view is live and back after %s",
    async (how) => {
      const command = `stty rows 24 cols 80; exec '${process.execPath}' '${CHILD}' ${how}`;
      const { stdout } = await promisify(execFile)("script", ["-qec", command, "/dev/null"], {
        timeout: 30_000,
      }).catch((error: { stdout: string }) => error);
      expect(stdout).toContain("stage 2 of 4");
      expect(stdout.indexOf("\u001b[?25l")).toBeGreaterThanOrEqual(0);
      expect(stdout.lastIndexOf("\u001b[?25h")).toBeGreaterThan(stdout.lastIndexOf("\u001b[?25l"));
    },
  );
});
