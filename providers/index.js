// The Pulumi CLI starts a plugin through a loader of its own that cannot run TypeScript entries as ES modules,
// hence this one JavaScript file.
import { main } from "@pulumi/pulumi/provider/index.js";
import { platformProvider } from "./provider.ts";

void main(platformProvider, process.argv.slice(2));
