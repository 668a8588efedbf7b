/** The tables that the gateway reads and writes, as the migrations make them. */
// biome-ignore lint/suspicious/noEmptyInterface: each feature extends it by its tables.
export interface Tables {}
