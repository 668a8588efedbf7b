import { isDeepStrictEqual } from "node:util";
import { checkResult, parseWith, type ResourceType, type Subject, schemaFailures } from "../resource-type.ts";
import { hasUnknown, normalise, type Properties, plain, secret } from "../wire.ts";
import {
  decideTraffic,
  RouterUnreachableError,
  readTraffic,
  StaleGenerationError,
  writeTraffic,
} from "./admin-client.ts";
import { type TrafficArguments, type TrafficState, trafficArguments, trafficState } from "./arguments.ts";

/** `backends` in the outputs is what the router has, not what was asked for: the next diff shows a drift. */
export const trafficType: ResourceType = {
  check(_subject, news) {
    const { inputs, failures } = checkResult(news, {}, (bag) => schemaFailures(trafficArguments, bag));
    return { inputs: { ...inputs, token: secret(plain(inputs).token) }, failures };
  },

  diff(_subject, olds, news) {
    if (hasUnknown(news)) return { changes: true };
    // The number of a decision alone moves nothing.
    const { generation: _before, ...before } = stateIn(olds);
    const { generation: _after, ...after } = argumentsIn(news);
    return { changes: !isDeepStrictEqual(before, after) };
  },

  async create(subject, inputs) {
    const generation = await move(subject, argumentsIn(inputs));
    return { id: subject.name, outs: { ...normalise(inputs), generation } };
  },

  async read({ signal }, props) {
    try {
      const { backends, generation } = await readTraffic(stateIn(props), signal);
      return { ...props, backends, generation };
    } catch (error) {
      if (error instanceof RouterUnreachableError) return undefined;
      throw error;
    }
  },

  async update(subject, olds, news) {
    const generation = await move(subject, argumentsIn(news), stateIn(olds).generation);
    return { ...normalise(news), generation };
  },

  async delete(subject, props) {
    const admin = stateIn(props);
    try {
      await move(subject, { ...admin, generation: undefined, backends: {} });
    } catch (error) {
      if (!(error instanceof RouterUnreachableError)) throw error;
    }
  },

  async recover() {
    return undefined;
  },
};

function argumentsIn(inputs: Properties): TrafficArguments {
  return parseWith(trafficArguments, plain(inputs));
}

function stateIn(outputs: Properties): TrafficState {
  return parseWith(trafficState, plain(outputs));
}

/**
 * Sets the weights and returns the router's generation. `knownGeneration` is that of the state from which the change
 * was planned: if the router is ahead of it, a later decision, such as a rollback, stands and this one loses. Weights
 * that carry their decision's number lose to any later number, whatever the state knows.
 */
async function move(subject: Subject, args: TrafficArguments, knownGeneration?: number): Promise<number> {
  const { name, signal } = subject;
  const { generation: decision, backends } = args;
  try {
    if (decision !== undefined) return await decideTraffic(args, signal, { generation: decision, backends });
    return await moveOnwards(args, signal, knownGeneration);
  } catch (error) {
    if (!(error instanceof StaleGenerationError)) throw error;
    throw new Error(`traffic ${name}: another writer moved the traffic meanwhile; refresh and run again`);
  }
}

/** Sets weights that no decision numbers: they follow what the state knows. */
async function moveOnwards(
  args: TrafficArguments,
  signal: AbortSignal,
  knownGeneration: number | undefined,
): Promise<number> {
  const current = await readTraffic(args, signal);
  if (isDeepStrictEqual(current.backends, args.backends)) return current.generation;
  if (knownGeneration !== undefined && current.generation > knownGeneration) throw new StaleGenerationError();
  const generation = current.generation + 1;
  await writeTraffic(args, signal, { generation, backends: args.backends });
  return generation;
}
