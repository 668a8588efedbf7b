// The Pulumi CLI starts a plugin through a loader of its own that cannot run TypeScript entries as ES modules,
// hence this one JavaScript file.
import { main } from "@pulumi/pulumi/provider/index.js";
import { FileWorld } from "./world.ts";

void main(new FileWorld(process.env.CONFORMANCE_WORLD), process.argv.slice(2));
