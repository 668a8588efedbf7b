import { SENSITIVITIES, type Sensitivity, type Tier } from "../tenancy/principal.ts";

/** What the hybrid rule goes by. */
export interface HybridInput {
  readonly sensitivity: Sensitivity;
  /** From 0 to 1. */
  readonly complexity: number;
  readonly tier: Tier;
  /** Busy share of the local replicas, from 0 on. */
  readonly load: number;
  /** A draw from 0 to 1, without 1. */
  readonly draw: number;
}

/** The rule's figures. */
export interface HybridFigures {
  readonly complexityAbove: number;
  readonly loadAbove: number;
  readonly externalShare: number;
}

/**
 * Which side answers: high sensitivity stays local; complex work of gold tenants goes outside; so does
 * what a busy local side has no room for; of low sensitivity a share goes outside; all else stays local.
 */
export function hybridSide(input: HybridInput, figures: HybridFigures): "local" | "external" {
  if (input.sensitivity === "high") return "local";
  if (input.complexity > figures.complexityAbove && input.tier === "gold") return "external";
  if (input.load > figures.loadAbove) return "external";
  if (input.sensitivity === "low" && input.draw < figures.externalShare) return "external";
  return "local";
}

/** The more confidential of the two: a request may raise what its tenant says, never lower it. */
export function raised(tenant: Sensitivity, request: Sensitivity | undefined): Sensitivity {
  if (request === undefined) return tenant;
  return SENSITIVITIES.indexOf(request) > SENSITIVITIES.indexOf(tenant) ? request : tenant;
}
