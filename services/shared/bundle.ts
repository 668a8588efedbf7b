import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
// Packages of CommonJS that are bundled into a module call a `require` that modules do not have.
const REQUIRE =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

/**
 * Writes a service as one file that runs with Node.js alone: `node gateway.mjs`. The same sources and packages give
 * the same bytes, in whatever folder they lie.
 * @param service the name of a folder beside this one that has a main.ts
 * @param outfile where it goes; its name should end in .mjs
 */
export async function bundleService(service: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [`services/${service}/main.ts`],
    outfile: resolve(outfile),
    // Paths in the output are relative to this folder, so that they do not tell where it lies.
    absWorkingDir: ROOT,
    preserveSymlinks: true,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    banner: { js: REQUIRE },
    // An optional native driver that pg loads only when it is asked to.
    external: ["pg-native"],
    // The notices that the licences of the bundled packages ask for.
    legalComments: "eof",
    logLevel: "silent",
  });
}

if (import.meta.main) {
  const [service, outfile] = process.argv.slice(2);
  if (service === undefined || outfile === undefined) throw new Error("usage: bundle.ts <service> <outfile>");
  await bundleService(service, outfile);
}
