// The import arrows of the architecture: a folder may import itself, what is listed here, and packages.
// docs/architecture.md draws them; a folder that is not listed may import nothing of ours.
const ARROWS = {
  stacks: [
    "components",
    "release/contract",
    "release/snapshot\\.ts$",
    "services/gateway/settings\\.ts$",
    "services/gateway/routing/check\\.ts$",
    "services/shared/bundle\\.ts$",
  ],
  components: ["providers", "services/[^/]+/contract\\.ts$"],
  providers: ["services/router/contract\\.ts$"],
  services: [],
  automation: [],
  release: ["automation", "services/gateway/contract\\.ts$"],
  cli: ["automation", "release", "stacks", "providers", "services/[^/]+/contract\\.ts$"],
};

const FOLDERS = [...Object.keys(ARROWS), "test"];

const arrows = Object.entries(ARROWS).map(([folder, allowed]) => ({
  name: `${folder}-imports`,
  severity: "error",
  comment: `${folder}/ may import only ${[folder, ...allowed].join(", ")}`,
  from: { path: `^${folder}/` },
  to: {
    path: `^(${FOLDERS.join("|")})/`,
    pathNot: [folder, ...allowed].map((path) => `^${path}${path.endsWith("$") ? "" : "/"}`),
  },
}));

module.exports = {
  forbidden: [
    ...arrows,
    {
      name: "services-stay-apart",
      severity: "error",
      comment: "a service is shipped alone: it imports no other service, only what all share",
      from: { path: "^services/([^/]+)/" },
      to: { path: "^services/", pathNot: ["^services/$1/", "^services/shared/"] },
    },
    {
      name: "services-know-no-pulumi",
      severity: "error",
      from: { path: "^services/" },
      to: { path: "node_modules/@pulumi/" },
    },
    {
      name: "no-circular",
      severity: "error",
      // What runs imports nothing in circles. Types may: an exchange knows what was found out about it, and those who
      // find it out know the exchange.
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    { name: "not-unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "node_modules/node-" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
