import * as pulumi from "@pulumi/pulumi";

/** The outputs of another stack of this project. */
export function stackNamed(stack: string): pulumi.StackReference {
  return new pulumi.StackReference(`${pulumi.getOrganization()}/${pulumi.getProject()}/${stack}`);
}
