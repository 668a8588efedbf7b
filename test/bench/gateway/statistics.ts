import { median, quantile } from "simple-statistics";

/** What a figure should be: at least or at most so much. */
export interface Goal {
  readonly at: "least" | "most";
  readonly value: number;
}

/** Values of one figure, one per round, of two targets that were measured in turn. */
export interface Rounds {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}

/** The median, which one disturbed round does not move; NaN without values. */
export function middle(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : median([...values]);
}

/**
 * The median over the rounds of ours / theirs. The two values of a round were measured one after the other, so that
 * a machine that gets busier from round to round disturbs both alike.
 */
export function ratio({ ours, theirs }: Rounds): number {
  return middle(pairs({ ours, theirs }).map(([mine, other]) => mine / other));
}

/** The median over the rounds of ours - theirs. */
export function difference({ ours, theirs }: Rounds): number {
  return middle(pairs({ ours, theirs }).map(([mine, other]) => mine - other));
}

function pairs({ ours, theirs }: Rounds): [number, number][] {
  return ours.slice(0, theirs.length).map((mine, index) => [mine, theirs[index] ?? Number.NaN]);
}

/** @param share from 0 to 1, such as 0.99 */
export function percentile(values: readonly number[], share: number): number {
  return values.length === 0 ? Number.NaN : quantile([...values], share);
}

export function reached(value: number, { at, value: bound }: Goal): boolean {
  return at === "least" ? value >= bound : value <= bound;
}
