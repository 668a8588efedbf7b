import { createServer } from "node:http";
import { describe, expect, onTestFinished, test } from "vitest";
import { smoke } from "../../../release/checks/smoke.ts";
import { closeServer, deadUrl, EMBEDDER, KEY, listen, MODEL } from "../../services/gateway/support.ts";
import { MODELS, NEVER, type Passing, startAltering, startColor } from "./support.ts";

const NAMES = [
  "is ready",
  "lists its models",
  `${MODEL} answers a chat`,
  `${MODEL} streams a chat`,
  `${EMBEDDER} embeds a text`,
  "refuses a request without key",
  "refuses an unknown model",
  "refuses broken JSON",
  "refuses an unknown path",
  "echoes x-request-id",
];
const ARGS = { key: KEY, models: MODELS, signal: NEVER };

const isChat = ({ path }: Passing) => path === "/v1/chat/completions";
const isStream = (passing: Passing) => isChat(passing) && passing.request?.stream === true;
const isPlain = (passing: Passing) => passing.request?.model === MODEL && !passing.request.stream;
const isListing = ({ path }: Passing) => path === "/v1/models";
const isEmbedding = ({ path }: Passing) => path === "/v1/embeddings";
const isUnknownModel = ({ request }: Passing) => request?.model?.startsWith("no-such") === true;

interface Fault {
  readonly name: string;
  readonly check: string;
  readonly problem: string;
  readonly when: (passing: Passing) => boolean;
  readonly alter: (passing: Passing) => void;
}

function answers(body: unknown, status?: number) {
  return (passing: Passing) => {
    passing.body = typeof body === "string" ? body : JSON.stringify(body);
    passing.status = status ?? passing.status;
  };
}

function replaces(pattern: RegExp, text: string) {
  return (passing: Passing) => {
    if (!pattern.test(passing.body)) throw new Error(`${pattern} is not in ${passing.body}`);
    passing.body = passing.body.replace(pattern, text);
  };
}

function typed(type: string) {
  return (passing: Passing) => {
    passing.headers["content-type"] = type;
  };
}

const WITHOUT_KEY = "refuses a request without key";
const FAULTS: Fault[] = [
  {
    name: "readiness of 503",
    check: "is ready",
    problem: "answered 503 instead of 200",
    when: ({ path }) => path === "/ready",
    alter: answers({}, 503),
  },
  {
    name: "a model that is not listed",
    check: "lists its models",
    problem: `does not list ${EMBEDDER}; does not list ${MODEL}`,
    when: isListing,
    alter: answers({ object: "list", data: [{ id: "another" }] }),
  },
  {
    name: "a list that is none",
    check: "lists its models",
    problem: "data: Invalid input",
    when: isListing,
    alter: answers({ data: "none" }),
  },
  {
    name: "a chat without choices",
    check: `${MODEL} answers a chat`,
    problem: "choices: Too small",
    when: (passing) => isPlain(passing) && !passing.anonymous,
    alter: replaces(/"choices":\[.*?\],"service_tier"/, '"choices":[],"service_tier"'),
  },
  {
    name: "a chat without usage and without finish_reason",
    check: `${MODEL} answers a chat`,
    problem: "choices.0.finish_reason: Invalid input: expected string, received null; usage: ",
    when: (passing) => isPlain(passing) && !passing.anonymous,
    alter: (passing) => {
      replaces(/"finish_reason":"\w+"/, '"finish_reason":null')(passing);
      replaces(/"usage":/, '"costs":')(passing);
    },
  },
  {
    name: "a chat of the wrong content type",
    check: `${MODEL} answers a chat`,
    problem: "has the content type text/html",
    when: (passing) => isPlain(passing) && !passing.anonymous,
    alter: typed("text/html"),
  },
  {
    name: "a stream without [DONE]",
    check: `${MODEL} streams a chat`,
    problem: "does not end with [DONE]",
    when: isStream,
    alter: replaces(/data: \[DONE\]\s*/, ""),
  },
  {
    name: "a stream without usage",
    check: `${MODEL} streams a chat`,
    problem: "has no usage though it was asked for",
    when: isStream,
    alter: replaces(/"usage":/, '"costs":'),
  },
  {
    name: "a stream without finish_reason",
    check: `${MODEL} streams a chat`,
    problem: "has no finish_reason",
    when: isStream,
    alter: replaces(/"finish_reason":"\w+"/, '"finish_reason":null'),
  },
  {
    name: "a stream with an error among its events",
    check: `${MODEL} streams a chat`,
    problem: "has an event that is no chunk of a chat",
    when: isStream,
    alter: replaces(/data: \[DONE\]/, 'data: {"error":{}}\n\ndata: [DONE]'),
  },
  {
    name: "a stream of the wrong content type",
    check: `${MODEL} streams a chat`,
    problem: "has the content type application/json",
    when: isStream,
    alter: typed("application/json"),
  },
  {
    name: "an embedding without numbers",
    check: `${EMBEDDER} embeds a text`,
    problem: "data.0.embedding: Too small",
    when: isEmbedding,
    alter: answers({ data: [{ embedding: [] }] }),
  },
  {
    name: "an answer to a request without key",
    check: WITHOUT_KEY,
    problem: "answered 200 instead of 401",
    when: ({ anonymous, path }) => anonymous && path !== "/ready",
    alter: answers({}, 200),
  },
  {
    name: "a refusal in another shape than OpenAI's",
    check: WITHOUT_KEY,
    problem: "error: Invalid input",
    when: ({ status }) => status === 401,
    alter: answers({ error: "Unauthorized" }),
  },
  {
    name: "a refusal as a page",
    check: WITHOUT_KEY,
    problem: "has the content type text/html instead of application/json; the answer is no JSON",
    when: ({ status }) => status === 401,
    alter: (passing) => {
      typed("text/html")(passing);
      answers("<h1>Unauthorized</h1>")(passing);
    },
  },
  {
    name: "another code for an unknown model",
    check: "refuses an unknown model",
    problem: "has the code invalid_request instead of model_not_found",
    when: isUnknownModel,
    alter: replaces(/"code":"model_not_found"/, '"code":"invalid_request"'),
  },
  {
    name: "500 for broken JSON",
    check: "refuses broken JSON",
    problem: "answered 500 instead of 400",
    when: ({ request, method }) => request === undefined && method === "POST",
    alter: answers({}, 500),
  },
  {
    name: "a field too many in an error",
    check: "refuses an unknown path",
    problem: 'error: Unrecognized key: "stack"',
    when: ({ path }) => path.endsWith("no-such-path"),
    alter: replaces(/"error":\{/, '"error":{"stack":"at …",'),
  },
  {
    name: "an id of its own",
    check: "echoes x-request-id",
    problem: "answered mine instead of the id that was sent",
    when: () => true,
    alter: ({ headers }) => {
      headers["x-request-id"] = "mine";
    },
  },
];

async function serverThat(listener: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(listener);
  onTestFinished(() => closeServer(server));
  return listen(server);
}

describe("the smoke suite", () => {
  test("passes every check on a color that is whole", async () => {
    const { url } = await startColor();
    const results = await smoke({ url, ...ARGS });
    expect(results).toEqual(NAMES.map((name) => ({ name, passed: true })));
    expect(await smoke({ url: `${url}/`, ...ARGS })).toEqual(results);
  });

  test("asks for no embeddings where no model gives any", async () => {
    const { url } = await startColor();
    const results = await smoke({ url, ...ARGS, models: MODELS.filter(({ task }) => task === "chat") });
    expect(results.map(({ name }) => name)).toEqual(NAMES.filter((name) => !name.includes("embeds")));
    expect(results.every(({ passed }) => passed)).toBe(true);
  });

  test.each(FAULTS)("finds $name, and nothing else", async ({ check, problem, when, alter }) => {
    const { url } = await startColor();
    const altering = await startAltering(url, (passing) => {
      if (when(passing)) alter(passing);
    });
    const failed = (await smoke({ url: altering, ...ARGS })).filter(({ passed }) => !passed);
    expect(failed).toEqual([{ name: check, passed: false, problem: expect.stringContaining(problem) }]);
  });

  test("tells the problems of all checks, not only the first", async () => {
    const { url } = await startColor();
    const altering = await startAltering(url, answers({}, 418));
    const results = await smoke({ url: altering, ...ARGS });
    expect(results.map(({ name, passed }) => [name, passed])).toEqual(
      NAMES.map((name) => [name, name === "echoes x-request-id"]),
    );
    expect(results.slice(0, -1).every(({ problem }) => problem?.includes("answered 418"))).toBe(true);
  });

  test("tells each check when nothing listens", async () => {
    const results = await smoke({ url: await deadUrl(), ...ARGS });
    expect(results.map(({ name }) => name)).toEqual(NAMES);
    const problem = "the connection failed: ECONNREFUSED";
    expect(results.every((result) => !result.passed && result.problem === problem)).toBe(true);
  });

  test("gives each check its time and no more when the color does not answer, or not to the end", async () => {
    const url = await serverThat((request, response) => {
      if (request.url === "/v1/models") response.writeHead(200).write('{"data":');
    });
    const results = await smoke({ url, ...ARGS, deadlineMs: 100 });
    const problem = "there was no whole answer after 0.1 s";
    expect(results).toEqual(NAMES.map((name) => ({ name, passed: false, problem })));
  });

  test("finds an answer that breaks off and one without end", async () => {
    const url = await serverThat((request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      if (request.url === "/v1/models") response.write('{"data":', () => response.destroy());
      else if (request.url === "/ready") {
        const more = () => response.write("x".repeat(65_536), () => !response.destroyed && more());
        more();
      } else response.end("{}");
    });
    const problems = new Map((await smoke({ url, ...ARGS })).map(({ name, problem }) => [name, problem]));
    expect(problems.get("is ready")).toBe("the answer is longer than 4194304 bytes");
    expect(problems.get("lists its models")).toBe("the connection failed: UND_ERR_SOCKET");
  });

  test("follows no redirect", async () => {
    const { url } = await startColor();
    const redirecting = await serverThat((request, response) => {
      response.writeHead(307, { location: url + request.url }).end();
    });
    const results = await smoke({ url: redirecting, ...ARGS });
    expect(results.filter(({ problem }) => problem?.includes("answered 307"))).toHaveLength(9);
  });

  test("ends with the reason of the signal when that aborts", async () => {
    const url = await serverThat(() => undefined);
    const controller = new AbortController();
    const run = smoke({ url, ...ARGS, signal: controller.signal });
    controller.abort(new Error("interrupted"));
    await expect(run).rejects.toThrow("interrupted");
  });
});

describe("what a smoke check tells", () => {
  test("holds no key, no control character and no long text, whatever the server answers", async () => {
    const hostile = `\u001b[2J\u001b]0;title\u0007 ${KEY} \r\nbreaks\u202e${KEY}${"long ".repeat(1000)}`;
    const url = await serverThat((_request, response) => {
      response.writeHead(500, { "content-type": "text/html", "x-request-id": `${KEY} ${"x".repeat(500)}` });
      response.end(hostile);
    });
    const results = await smoke({ url, ...ARGS });
    const problems = results.map(({ problem = "" }) => problem);
    expect(problems.every((problem) => problem.length > 0 && problem.length < 200)).toBe(true);
    expect(problems.every((problem) => !problem.includes(KEY))).toBe(true);
    expect(problems.some((problem) => /[\p{C}\n]/u.test(problem))).toBe(false);
    expect(problems[0]).toContain("answered 500 instead of 200: [2J ]0;title <key> breaks <key>long");
  });

  test("is bounded when an answer is wrong a thousand times", async () => {
    const body = { data: Array.from({ length: 1000 }, () => ({ id: 1 })) };
    const url = await serverThat((_request, response) => {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
    const results = await smoke({ url, ...ARGS });
    const problem = results.find(({ name }) => name === "lists its models")?.problem ?? "";
    expect(problem).toContain("data.0.id: Invalid input");
    expect(problem).toMatch(/; 995 more like these$/);
    expect(problem.split("; ")).toHaveLength(6);
  });
});
