import { spawnSync } from "node:child_process";
import path from "node:path";

/** `npm run check`: everything about the code that can be judged without running it. */

const ROOT = path.resolve(import.meta.dirname, "..");
/** Licences that may be part of what is shipped under Apache-2.0. */
const LICENCES = [
  "0BSD",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "BlueOak-1.0.0",
  "CC-BY-3.0",
  "CC-BY-4.0",
  "CC0-1.0",
  "ISC",
  "MIT",
  "MPL-2.0",
  "PostgreSQL",
  "Python-2.0",
  "Unlicense",
  "Zlib",
];

const FOLDERS = ["automation", "cli", "components", "providers", "release", "services", "stacks", "test"];

/** Packages whose licence was read by people, as their package.json does not name it: tail-file is under MIT. */
const READ_BY_PEOPLE = ["@logdna/tail-file@2.2.0"];

interface Check {
  name: string;
  command: string[];
}

const CHECKS: Check[] = [
  { name: "types", command: ["tsc", "--noEmit"] },
  { name: "format and lint", command: ["biome", "ci", "--error-on-warnings", "--colors=off"] },
  {
    name: "import arrows and circular imports",
    command: ["depcruise", "--config", ".dependency-cruiser.cjs", ...FOLDERS],
  },
  { name: "dead code and unused dependencies", command: ["knip", "--no-progress"] },
  {
    name: "licences",
    command: [
      "license-checker-rseidelsohn",
      "--onlyAllow",
      LICENCES.join(";"),
      "--excludePrivatePackages",
      "--excludePackages",
      READ_BY_PEOPLE.join(";"),
      "--summary",
    ],
  },
];

function run({ name, command }: Check): boolean {
  const [tool = "", ...args] = command;
  const result = spawnSync(path.join(ROOT, "node_modules/.bin", tool), args, { cwd: ROOT, encoding: "utf8" });
  const passed = result.status === 0;
  console.log(`${passed ? "passed" : "FAILED"}  ${name}`);
  if (!passed) console.log(`${result.stdout}${result.stderr}`);
  return passed;
}

/** Known vulnerabilities come from the registry: a machine that does not reach its audit service skips this by name. */
function audit(): "passed" | "failed" | "skipped" {
  const result = spawnSync("npm", ["audit", "--json", "--audit-level=high"], { cwd: ROOT, encoding: "utf8" });
  const report = JSON.parse(result.stdout || "{}") as {
    metadata?: { vulnerabilities: Record<string, number> };
    vulnerabilities?: Record<string, { severity: string }>;
  };
  if (!report.metadata) {
    console.log("skipped  known vulnerabilities: the registry does not answer audits");
    return "skipped";
  }
  const severe = Object.entries(report.vulnerabilities ?? {}).filter(([, { severity }]) =>
    ["high", "critical"].includes(severity),
  );
  console.log(`${severe.length === 0 ? "passed" : "FAILED"}  known vulnerabilities (high and critical)`);
  for (const [name, { severity }] of severe) console.log(`  ${name}: ${severity}`);
  return severe.length === 0 ? "passed" : "failed";
}

const results = [...CHECKS.map((check) => (run(check) ? "passed" : "failed")), audit()];
const count = (state: string) => results.filter((result) => result === state).length;
console.log(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
if (count("failed") > 0) process.exitCode = 1;
