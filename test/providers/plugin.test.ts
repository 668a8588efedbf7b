import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { credentials, type Metadata, type ServiceError } from "@grpc/grpc-js";
import grpcProto from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import proto from "@pulumi/pulumi/proto/provider_pb.js";
import statusProto from "@pulumi/pulumi/proto/status_pb.js";
import emptyProto from "google-protobuf/google/protobuf/empty_pb.js";
import structProto from "google-protobuf/google/protobuf/struct_pb.js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Properties, secret } from "../../providers/wire.ts";
import { Bench, environmentOf, failure, pidOf, urnOf } from "./support.ts";

const FOLDER = join(import.meta.dirname, "../../providers");
const LOADER = createRequire(import.meta.url).resolve("@pulumi/pulumi/cmd/run-plugin");
const ENGINE = "127.0.0.1:1";

let bench: Bench;
let plugin: ChildProcess;
let client: grpcProto.ResourceProviderClient;

async function startPlugin(args: readonly string[]): Promise<void> {
  plugin = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"], cwd: bench.folder });
  if (plugin.stdout === null) throw new Error("the plugin has no output");
  const [output] = await once(plugin.stdout, "data");
  client = new grpcProto.ResourceProviderClient(
    `127.0.0.1:${Number(String(output))}`,
    credentials.createInsecure(),
  );
}

beforeEach(() => {
  bench = new Bench();
});
afterEach(() => {
  client.close();
  plugin.kill("SIGKILL");
  bench.close();
});

const struct = (properties: Properties): structProto.Struct =>
  structProto.Struct.fromJavaScript(JSON.parse(JSON.stringify(properties)));
const bag = (value: structProto.Struct | undefined): Properties => value?.toJavaScript() ?? {};
type Reply<T> = (error: ServiceError | null, response: T) => void;

function call<T>(send: (reply: Reply<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    send((error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

async function check(inputs: Properties): Promise<Properties> {
  const request = new proto.CheckRequest().setUrn(bench.urn).setOlds(struct({})).setNews(struct(inputs));
  const response = await call<proto.CheckResponse>((reply) => client.check(request, reply));
  expect(response.getFailuresList()).toEqual([]);
  return bag(response.getInputs());
}

function create(inputs: Properties, urn = bench.urn): Promise<proto.CreateResponse> {
  const request = new proto.CreateRequest().setUrn(urn).setProperties(struct(inputs));
  return call((reply) => client.create(request, reply));
}

function update(id: string, olds: Properties, news: Properties): Promise<proto.UpdateResponse> {
  const request = new proto.UpdateRequest()
    .setId(id)
    .setUrn(bench.urn)
    .setOlds(struct(olds))
    .setNews(struct(news));
  return call((reply) => client.update(request, reply));
}

function read(id: string, properties: Properties): Promise<proto.ReadResponse> {
  const request = new proto.ReadRequest().setId(id).setUrn(bench.urn).setProperties(struct(properties));
  return call((reply) => client.read(request, reply));
}

/** The state that a failed operation hands to the engine. */
function partialState(error: Error): proto.ErrorResourceInitFailed {
  const metadata: Metadata = Object(error).metadata;
  const [details] = metadata.get("grpc-status-details-bin");
  const status = statusProto.Status.deserializeBinary(Buffer.from(details ?? ""));
  const detail = status.getDetailsList()[0];
  return proto.ErrorResourceInitFailed.deserializeBinary(detail?.getValue_asU8() ?? new Uint8Array());
}

describe.each([
  ["as the CLI starts it", [LOADER, FOLDER, ENGINE]],
  ["started directly", [join(FOLDER, "index.js"), ENGINE]],
])("the plugin, %s", (_way, args) => {
  test("a process's whole life, then it goes over the wire as in process", async () => {
    await startPlugin(args);
    const inputs = await check(bench.inputs({ environment: { TOKEN: secret("s3cret") } }));
    const created = await create(inputs);
    const outs = bag(created.getProperties());
    expect(outs.environment).toEqual({ TOKEN: secret("s3cret") });
    expect(await environmentOf(outs)).toMatchObject({ TOKEN: "s3cret" });

    const request = new proto.DiffRequest().setId(created.getId()).setUrn(bench.urn);
    const diff = await call<proto.DiffResponse>((reply) =>
      client.diff(request.setOlds(struct(outs)).setNews(struct(inputs)), reply),
    );
    expect(diff.getChanges()).toBe(proto.DiffResponse.DiffChanges.DIFF_NONE);

    const news = await check(bench.inputs({ environment: { MODE: "new" } }));
    const updated = bag((await update(created.getId(), outs, news)).getProperties());
    expect(await environmentOf(updated)).toMatchObject({ MODE: "new" });
    expect((await read(created.getId(), updated)).getId()).toBe(created.getId());

    const deletion = new proto.DeleteRequest().setId(created.getId()).setUrn(bench.urn);
    await call<emptyProto.Empty>((reply) => client.delete(deletion.setProperties(struct(updated)), reply));
    expect(bench.pids()).toEqual([]);
    expect((await read(created.getId(), updated)).getId()).toBe("");
  });
});

describe("the plugin, when something fails", () => {
  beforeEach(() => startPlugin([join(FOLDER, "index.js"), ENGINE]));

  test("update, when the new process crashes with a long log, then the engine gets the state that serves", async () => {
    const created = await create(await check(bench.inputs()));
    const crashes = `for (let i = 0; i < 50; i += 1) console.log("€".repeat(1000)); process.exit(3)`;
    const news = await check(bench.inputs({}, crashes));
    const error = await failure(update(created.getId(), bag(created.getProperties()), news));
    expect(error.message).toContain("exited with code 3");
    const partial = partialState(error);
    expect(partial.getId()).toBe(created.getId());
    expect(partial.getReasonsList()[0]).toContain("The old process serves again");
    expect(bench.pids()).toEqual([pidOf(bag(partial.getProperties()))]);
  });

  test("a create that waits, when the engine cancels, then it fails and leaves nothing", async () => {
    const failed = failure(
      create(await check(bench.inputs({}, `console.log("started"); setInterval(() => {}, 1000)`))),
    );
    await bench.logged("started");
    await call<emptyProto.Empty>((reply) => client.cancel(new emptyProto.Empty(), reply));
    expect((await failed).message).toContain("interrupted");
    expect(bench.pids()).toEqual([]);
  });

  test("create, of a type that the package does not have, then it is refused by name", async () => {
    const { message } = await failure(create({}, urnOf("platform:process:Thread", "x")));
    expect(message).toContain('no resource type "platform:process:Thread"');
    expect(message).toContain("platform:process:Process, platform:router:Traffic, platform:secret:Secret");
  });

  test("read, without a state to start from, then importing is refused", async () => {
    expect((await failure(read("some-id", {}))).message).toContain("cannot be imported");
  });
});
