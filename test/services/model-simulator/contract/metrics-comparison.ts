/** A metric family: its type, its labels without `le`, and a histogram's upper bounds. */
export interface Family {
  readonly type: string;
  readonly labels: readonly string[];
  readonly buckets: readonly number[];
}

const SUFFIXES = /_(bucket|sum|count)$/;

function labelsOf(text: string): [string, string][] {
  return [...text.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, name, value]) => [name ?? "", value ?? ""]);
}

interface Sample {
  readonly name: string;
  readonly labels: readonly [string, string][];
}

function readSamples(text: string): Sample[] {
  return [...text.matchAll(/^([a-z0-9_:]+)(?:\{(.*)\})? \S+$/gm)].map(([, name = "", labels = ""]) => {
    return { name, labels: labelsOf(labels) };
  });
}

/** Reads the families of an exposition in Prometheus' text format. */
export function readFamilies(text: string): Map<string, Family> {
  const types = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]),
  );
  const labels = new Map<string, Set<string>>();
  const buckets = new Map<string, Set<number>>();
  for (const sample of readSamples(text)) {
    const name = types.has(sample.name) ? sample.name : sample.name.replace(SUFFIXES, "");
    for (const [label, value] of sample.labels) {
      if (label === "le")
        setIn(buckets, name).add(value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value));
      else setIn(labels, name).add(label);
    }
  }
  const family = (name: string, type: string): Family => ({
    type,
    labels: [...(labels.get(name) ?? [])].sort(),
    buckets: [...(buckets.get(name) ?? [])].sort((left, right) => left - right),
  });
  return new Map([...types].map(([name, type]) => [name, family(name, type)]));
}

function setIn<T>(map: Map<string, Set<T>>, key: string): Set<T> {
  const set = map.get(key) ?? new Set<T>();
  map.set(key, set);
  return set;
}

/** The value of one sample; undefined where it is not there. */
export function sampleValue(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  for (const line of text.split("\n")) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    const given = new Map(labelsOf(line));
    if (Object.entries(labels).every(([label, value]) => given.get(label) === value)) {
      return Number(line.slice(line.lastIndexOf(" ") + 1));
    }
  }
  return undefined;
}

/** Families of vLLM that the simulator leaves out, by the reason. */
export const LEFT_OUT: readonly { readonly names: RegExp; readonly reason: string }[] = [
  { names: /_created$/, reason: "creation times, which only Python's client library writes" },
  { names: /^(python|process)_/, reason: "figures of the Python process" },
  {
    names: /^http_request_duration_highr_|^http_(request|response)_size_/,
    reason: "HTTP sizes and fine latency: nothing here reads them",
  },
  { names: /^vllm:estimated_/, reason: "the simulator computes and reads nothing on a GPU" },
  {
    names: /^vllm:(external_prefix_cache|mm_cache)_/,
    reason: "no cache shared between instances and no images",
  },
  {
    names: /^vllm:(prompt_tokens_by_source|prompt_tokens_cached_by_source)_/,
    reason: "one source only: the other counters carry it",
  },
  { names: /^vllm:(cache_config_info|engine_sleep_state)$/, reason: "no cache layout and no sleep mode" },
  {
    names: /^vllm:(iteration_tokens_total|request_num_preemptions|request_prefill_kv_computed_tokens)$/,
    reason: "no engine steps and no preemption",
  },
  {
    names:
      /^vllm:(request_max_num_generation_tokens|num_requests_waiting_by_reason|tool_call_parser_invocations_total)$/,
    reason: "finer views of metrics that are here",
  },
];
