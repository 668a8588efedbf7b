import type * as pulumi from "@pulumi/pulumi";

export const COLORS = ["blue", "green"] as const;
export type Color = (typeof COLORS)[number];

/** Percent of the traffic for each color; they add up to 100. */
export type Weights = Record<Color, number>;

/** The one address that clients use, whatever serves behind it. */
export interface Entrance {
  readonly url: pulumi.Output<string>;
}
