/** Environment variables that the key-value server reads. */
export const KEY_VALUE_ENV = {
  /** Address to listen on. Default `127.0.0.1`; there is no TLS, so keep it on loopback. */
  host: "KEYVALUE_HOST",
  /** Port to listen on; 0 lets the system choose. */
  port: "KEYVALUE_PORT",
  /** Secret that clients authenticate with; at least 16 characters. */
  password: "KEYVALUE_PASSWORD",
  /** File that keeps the data across restarts. */
  dataFile: "KEYVALUE_DATA_FILE",
  /** Seconds between two writes of the data file; a killed process loses at most these. Default 1. */
  snapshotSeconds: "KEYVALUE_SNAPSHOT_SECONDS",
  /** Estimated bytes of keys and values from which on writes are refused. Default 67108864 (64 MiB). */
  maxMemoryBytes: "KEYVALUE_MAX_MEMORY_BYTES",
} as const;
