/** An error whose message says the problem and the remedy; no stack trace helps its reader. */
export class UserError extends Error {}
