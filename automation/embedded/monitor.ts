import resourceProto from "@pulumi/pulumi/proto/resource_pb.js";
import emptyProto from "google-protobuf/google/protobuf/empty_pb.js";
import structProto from "google-protobuf/google/protobuf/struct_pb.js";
import type { Deployment } from "./deployment.ts";
import { goalOf } from "./goal.ts";
import { messageOf, type Properties } from "./values.ts";

/** The gRPC status codes that the SDK tells apart. */
const UNKNOWN_ERROR = 2;
const UNIMPLEMENTED = 12;
/** Makes the SDK stop quietly: the run has failed already and says why itself. */
const UNAVAILABLE = 14;

type Reply = (error: { code: number; message: string; details: string } | null, response?: unknown) => void;
type Handler = (request: never, reply: Reply) => void;

/** The calls of Pulumi's resource monitor that the SDK makes; what is not answered here is refused by name. */
const REFUSED_CALLS: Record<string, string> = {
  call: "methods of remote components",
  existsResource: "looking for existing resources",
  invoke: "provider functions (invokes)",
  registerErrorHook: "error hooks",
  registerPackage: "parameterized packages",
  registerResourceHook: "resource hooks",
  registerStackInvokeTransform: "invoke transforms",
  registerStackTransform: "stack transforms",
};

const properties = (struct: structProto.Struct | undefined): Properties =>
  (struct?.toJavaScript() ?? {}) as Properties;

/** JSON drops what is undefined, which a protobuf Struct cannot hold. */
const toStruct = (values: Properties): structProto.Struct =>
  structProto.Struct.fromJavaScript(JSON.parse(JSON.stringify(values)));

/** A resource monitor without a wire, in the shape of the SDK's own gRPC client. */
export function createMonitor(deployment: Deployment): Record<string, unknown> {
  const answer =
    <Request>(handle: (request: Request) => unknown) =>
    (request: Request, reply: Reply): void => {
      Promise.resolve()
        .then(() => handle(request))
        .then((response) => reply(null, response))
        .catch((error: unknown) => {
          const code = deployment.run.failed ? UNAVAILABLE : UNKNOWN_ERROR;
          reply({ code, message: messageOf(error), details: messageOf(error) });
        });
    };
  const refusals = Object.fromEntries(
    Object.entries(REFUSED_CALLS).map(([call, what]) => [call, answer(() => refuse(deployment, what))]),
  );
  return {
    ...refusals,
    close() {},
    getDeploymentInfo: answer(deploymentInfo),
    supportsFeature: unimplemented,
    registerResource: answer((request: resourceProto.RegisterResourceRequest) =>
      registerResource(deployment, request),
    ),
    registerResourceOutputs: answer((request: resourceProto.RegisterResourceOutputsRequest) => {
      deployment.registerOutputs(request.getUrn(), properties(request.getOutputs()));
      return new emptyProto.Empty();
    }),
    readResource: answer((request: resourceProto.ReadResourceRequest) => readResource(deployment, request)),
    signalAndWaitForShutdown: answer(() => new emptyProto.Empty()),
  } satisfies Record<string, Handler | (() => void)>;
}

function unimplemented(_request: never, reply: Reply): void {
  reply({ code: UNIMPLEMENTED, message: "unimplemented", details: "unimplemented" });
}

function refuse(deployment: Deployment, what: string): never {
  const problem = `the embedded runner does not support ${what}.\nremedy: run this stack with the Pulumi CLI.`;
  deployment.run.fail(problem);
  throw new Error(problem);
}

function deploymentInfo(): resourceProto.DeploymentInfo {
  const info = new resourceProto.DeploymentInfo();
  const feature = resourceProto.ResourceMonitorFeature;
  // Secrets are supported. The others are announced so that a request that needs them arrives here, where it is
  // refused by name; the SDK itself would ask for a newer Pulumi CLI.
  info.setSupportedfeaturesList([
    feature.RESOURCE_MONITOR_FEATURE_SECRETS,
    feature.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    feature.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    feature.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    feature.RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS,
    feature.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
  ]);
  return info;
}

async function registerResource(
  deployment: Deployment,
  request: resourceProto.RegisterResourceRequest,
): Promise<resourceProto.RegisterResourceResponse> {
  const urn = deployment.urn(request.getType(), request.getName(), request.getParent());
  const { goal, refused } = goalOf(request, urn, properties(request.getObject()));
  if (refused.length > 0) refuse(deployment, `${refused.join(", ")} (used by ${urn})`);
  const resource = await deployment.register(goal);
  const response = new resourceProto.RegisterResourceResponse();
  response.setUrn(resource.urn);
  response.setId(resource.id ?? "");
  response.setObject(toStruct(resource.outputs ?? {}));
  return response;
}

async function readResource(
  deployment: Deployment,
  request: resourceProto.ReadResourceRequest,
): Promise<resourceProto.ReadResourceResponse> {
  if (request.getType() !== "pulumi:pulumi:StackReference") {
    refuse(deployment, `reading existing resources (${request.getType()} ${request.getName()})`);
  }
  const resource = await deployment.readStackReference({
    name: request.getName(),
    id: request.getId(),
    parent: request.getParent(),
  });
  const response = new resourceProto.ReadResourceResponse();
  response.setUrn(resource.urn);
  response.setProperties(toStruct(resource.outputs ?? {}));
  return response;
}
