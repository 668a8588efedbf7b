import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PartialStateError } from "../../../providers/resource-type.ts";
import { type Properties, secret } from "../../../providers/wire.ts";
import { Bench, environmentOf, failure, pidOf, portOf } from "../support.ts";

const CRASHES = `console.log("the key is " + process.env.TOKEN); process.exit(3)`;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

async function update(olds: Properties, news: Properties): Promise<Properties> {
  return (await bench.provider.update("id", bench.urn, olds, news)).outs;
}

describe("an update of a process", () => {
  test("update, of the environment, then the process restarts with it on the same port", async () => {
    const before = await bench.create();
    const after = await update(before, bench.inputs({ environment: { MODE: "new" } }));
    expect(await environmentOf(after)).toMatchObject({ MODE: "new" });
    expect(portOf(after)).toBe(portOf(before));
    expect(bench.pids()).toEqual([pidOf(after)]);
    expect(pidOf(after)).not.toBe(pidOf(before));
  });

  test("update, of the trigger, then the process restarts and does not see it", async () => {
    const before = await bench.create();
    const after = await update(before, bench.inputs({ trigger: { source: "digest-2" } }));
    expect(pidOf(after)).not.toBe(pidOf(before));
    expect(JSON.stringify(await environmentOf(after))).not.toContain("digest-2");
  });

  test("update, of drain and start time alone, then nothing restarts and both are kept", async () => {
    const before = await bench.create();
    const after = await update(before, bench.inputs({ drainSeconds: 1, startSeconds: 2 }));
    expect(pidOf(after)).toBe(pidOf(before));
    expect(after).toMatchObject({ drainSeconds: 1, startSeconds: 2 });
  });

  test("update, of drain time alone when the process is dead, then it is started", async () => {
    const before = await bench.create();
    await bench.kill(before);
    const after = await update(before, bench.inputs({ drainSeconds: 1 }));
    expect(bench.pids()).toEqual([pidOf(after)]);
  });

  test("update, after a cut-off update left a newer process, then only one is left", async () => {
    const before = await bench.create();
    await update(before, bench.inputs({ environment: { MODE: "lost" } }));
    const after = await update(before, bench.inputs({ environment: { MODE: "kept" } }));
    expect(bench.pids()).toEqual([pidOf(after)]);
    expect(await environmentOf(after)).toMatchObject({ MODE: "kept" });
  });
});

describe("an update of a process that fails", () => {
  test("update, when the new process crashes, then the old one serves again and the error says so", async () => {
    const before = await bench.create(
      bench.inputs({ environment: { MODE: "old", TOKEN: secret("s3cret") } }),
    );
    const news = bench.inputs({ environment: { TOKEN: secret("s3cret") } }, CRASHES);
    const error = await failure(update(before, news));
    expect(error.message).toContain("exited with code 3");
    expect(error.message).toContain("The old process serves again");
    expect(error.message).not.toContain("s3cret");
    expect(error).toBeInstanceOf(PartialStateError);
    if (!(error instanceof PartialStateError)) return;
    expect(error.id).not.toBe("");
    expect(await environmentOf(error.properties)).toMatchObject({ MODE: "old" });
    expect(bench.pids()).toEqual([pidOf(error.properties)]);
    expect(portOf(error.properties)).toBe(portOf(before));
    expect(error.properties.environment).toEqual(before.environment);
    const { changes } = await bench.provider.diff("id", bench.urn, error.properties, news);
    expect(changes).toBe(true);
  });

  test("update, when the new executable is missing, then the old process is not even stopped", async () => {
    const before = await bench.create();
    const error = await failure(update(before, bench.inputs({ command: ["/no/such/executable"] })));
    expect(error.message).toContain("/no/such/executable is no executable file");
    expect(bench.pids()).toEqual([pidOf(before)]);
  });

  test("update, when neither starts, then the error says so and the next diff asks for a start", async () => {
    const startsOnce = `
      const fs = require("node:fs");
      if (fs.existsSync(process.env.FLAG)) process.exit(4);
      fs.writeFileSync(process.env.FLAG, "");
      require("node:http").createServer((request, response) => response.end()).listen(process.env.PORT, "127.0.0.1");
    `;
    const inputs = bench.inputs({ environment: { FLAG: `${bench.folder}/flag` } }, startsOnce);
    const before = await bench.create(inputs);
    const error = await failure(update(before, bench.inputs({}, CRASHES)));
    expect(error.message).toContain("exited with code 3");
    expect(error.message).toContain("exited with code 4");
    expect(error.message).toContain("Nothing runs now");
    expect(bench.pids()).toEqual([]);
    if (!(error instanceof PartialStateError)) throw error;
    expect(await bench.isThere(error.properties)).toBe(false);
    expect((await bench.provider.diff("id", bench.urn, error.properties, inputs)).changes).toBe(true);
    await bench.provider.delete("id", bench.urn, error.properties);
  });

  test("update, when interrupted while the new process starts, then the old one serves again", async () => {
    const before = await bench.create();
    const updating = update(before, bench.inputs({}, `console.log("started"); setInterval(() => {}, 1000)`));
    const failed = failure(updating);
    await bench.logged("started");
    await bench.provider.cancel();
    const error = await failed;
    expect(error.message).toContain("interrupted");
    if (!(error instanceof PartialStateError)) throw error;
    expect(bench.pids()).toEqual([pidOf(error.properties)]);
  });
});
