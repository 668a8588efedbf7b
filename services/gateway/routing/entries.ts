import type { Settings } from "../settings.ts";

/** An entry of a map whose keys people choose: never what every object has. */
export function ownValue<T>(map: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}

/** Requests that one replica of a model works on at a time; undefined where no setting says so. */
export function concurrencyOf({ models, queue }: Settings, name: string): number | undefined {
  return ownValue(models, name)?.maxConcurrency ?? queue.perReplica;
}
