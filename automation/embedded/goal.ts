import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb.js";
import { isProviderType } from "./providers.ts";
import type { Properties } from "./values.ts";

/** What the program wants one resource to be. */
export interface Goal {
  urn: string;
  type: string;
  name: string;
  custom: boolean;
  parent: string;
  inputs: Properties;
  dependencies: string[];
  propertyDependencies: Record<string, string[]>;
  /** Reference to the provider resource (`urn::id`); empty means the package's default provider. */
  provider: string;
  version: string;
  protect: boolean;
  /** Undefined leaves the choice to the provider. */
  deleteBeforeReplace: boolean | undefined;
  additionalSecretOutputs: string[];
}

/** Options of Pulumi that this runner does not carry out, and how a request shows that one is used. */
export const REFUSED: Record<string, (request: RegisterResourceRequest) => boolean> = {
  aliases: (request) => request.getAliasesList().length > 0 || request.getAliasurnsList().length > 0,
  "an explicit provider": (request) => request.getProvider() !== "" || isProviderType(request.getType()),
  customTimeouts: (request) => {
    const timeouts = request.getCustomtimeouts();
    return Boolean(
      timeouts?.getCreate() || timeouts?.getUpdate() || timeouts?.getDelete() || timeouts?.getRead(),
    );
  },
  deletedWith: (request) => request.getDeletedwith() !== "",
  envVarMappings: (request) => request.getEnvvarmappingsMap().getLength() > 0,
  hideDiffs: (request) => request.getHidediffsList().length > 0,
  hooks: (request) => {
    const lists = Object.values(request.getHooks()?.toObject() ?? {});
    return lists.some((list) => Array.isArray(list) && list.length > 0);
  },
  ignoreChanges: (request) => request.getIgnorechangesList().length > 0,
  import: (request) => request.getImportid() !== "",
  "a parameterized package": (request) => request.getPackageref() !== "",
  pluginDownloadURL: (request) => request.getPlugindownloadurl() !== "",
  "a remote component": (request) => request.getRemote(),
  replaceOnChanges: (request) => request.getReplaceonchangesList().length > 0,
  replaceWith: (request) => request.getReplaceWithList().length > 0,
  replacementTrigger: (request) => request.hasReplacementTrigger(),
  retainOnDelete: (request) => request.getRetainondelete() === true,
  stateMigrations: (request) => request.getStateMigrationsList().length > 0,
  transforms: (request) => request.getTransformsList().length > 0,
};

export function goalOf(
  request: RegisterResourceRequest,
  urn: string,
  inputs: Properties,
): { goal: Goal; refused: string[] } {
  const propertyDependencies: Record<string, string[]> = {};
  request.getPropertydependenciesMap().forEach((dependencies, property) => {
    propertyDependencies[property] = dependencies.getUrnsList();
  });
  const goal: Goal = {
    urn,
    type: request.getType(),
    name: request.getName(),
    custom: request.getCustom(),
    parent: request.getParent(),
    inputs,
    dependencies: request.getDependenciesList(),
    propertyDependencies,
    provider: request.getProvider(),
    version: request.getVersion(),
    protect: request.getProtect() === true,
    deleteBeforeReplace: request.getDeletebeforereplacedefined()
      ? request.getDeletebeforereplace()
      : undefined,
    additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
  };
  const refused = Object.keys(REFUSED).filter((option) => REFUSED[option]?.(request));
  return { goal, refused };
}
