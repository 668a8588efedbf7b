import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ENTRY = fileURLToPath(new URL("main.ts", import.meta.url));
// Packages of CommonJS that are bundled into a module call a `require` that modules do not have.
const REQUIRE =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

/**
 * Writes the gateway as one file that runs with Node.js alone: `node gateway.mjs`.
 * @param outfile where it goes; its name should end in .mjs
 */
export async function bundleGateway(outfile: string): Promise<void> {
  await build({
    entryPoints: [ENTRY],
    outfile,
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
  const [outfile] = process.argv.slice(2);
  if (outfile === undefined) throw new Error("usage: bundle.ts <outfile>");
  await bundleGateway(outfile);
}
