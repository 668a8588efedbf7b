import * as pulumi from "@pulumi/pulumi";

/** The outputs of another stack of this project. */
export function stackNamed(stack: string): pulumi.StackReference {
  return new pulumi.StackReference(`${pulumi.getOrganization()}/${pulumi.getProject()}/${stack}`);
}

/** A process or data store of a stack, as its outputs list them for people who look at it. */
export interface ServiceEntry {
  name: string;
  address: string;
  /** Whether it is the real thing or an embedded stand-in. */
  kind: "real" | "embedded";
}

export function serviceEntry(
  name: string,
  address: pulumi.Input<string>,
  kind: ServiceEntry["kind"],
): pulumi.Output<ServiceEntry> {
  return pulumi.output(address).apply((known) => ({ name, address: known, kind }));
}
