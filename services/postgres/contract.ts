/** What others need to know to start this server and to connect to it. Imports nothing. */

/** Environment variables that the server reads. */
export const POSTGRES_ENV = {
  /** Address to listen on. Default `127.0.0.1`; there is no TLS, so keep it on loopback. */
  host: "POSTGRES_HOST",
  /** Port to listen on; 0 lets the system choose. */
  port: "POSTGRES_PORT",
  /** Secret that clients connect with, at least 16 characters. Without it a loopback server lets every client in. */
  password: "POSTGRES_PASSWORD",
  /** Folder of the data; created when missing. Only one server at a time may use it. */
  dataDir: "POSTGRES_DATA_DIR",
  /** Connections at once, over all pools. Default 100. */
  maxConnections: "POSTGRES_MAX_CONNECTIONS",
  /** Seconds that an open transaction may idle before it is rolled back and its connection closed. Default 30. */
  idleTransactionSeconds: "POSTGRES_IDLE_TRANSACTION_SECONDS",
} as const;

/** The only user and the only database. */
export const POSTGRES_USER = "postgres";
export const POSTGRES_DATABASE = "postgres";
