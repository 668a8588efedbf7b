import { randomUUID } from "node:crypto";
import type { Server } from "node:http";
import { Envelope } from "../content/envelope.ts";
import { type ContentKeys, LocalKeyWrapper } from "../content/local-keys.ts";
import type { Gateway } from "../exchange.ts";
import { BatchStore } from "./batch-store.ts";
import { type DatabaseState, Storage } from "./database.ts";
import { FileStore } from "./file-store.ts";
import { callInternally } from "./internal-call.ts";
import { findPrincipal } from "./principals.ts";
import { SweepStore } from "./sweep-store.ts";
import { Sweeper } from "./sweeper.ts";
import { UploadSlots } from "./upload.ts";
import { WorkStore } from "./work-store.ts";
import { BatchWorker } from "./worker.ts";

/** What the steps for files and batches use. */
export interface BatchService {
  readonly storage: Storage;
  readonly envelope: Envelope;
  readonly files: FileStore;
  readonly batches: BatchStore;
  readonly uploads: UploadSlots;
}

export interface BatchServiceOptions {
  readonly databaseUrl: string;
  readonly contentKeys: ContentKeys;
  readonly state: DatabaseState;
}

export function createBatchService({ databaseUrl, contentKeys, state }: BatchServiceOptions): BatchService {
  const storage = new Storage(databaseUrl, state);
  const envelope = new Envelope(new LocalKeyWrapper(contentKeys));
  return {
    storage,
    envelope,
    files: new FileStore(storage, envelope),
    batches: new BatchStore(storage, envelope),
    uploads: new UploadSlots(),
  };
}

/** What one gateway does for batches in the background. */
export interface BackgroundWork {
  /** Takes up nothing more; resolves when what runs has ended and the rest is given back. */
  stop(): Promise<void>;
  /** Ends what runs. */
  abort(): void;
  close(): Promise<void>;
}

/** Begins to work on batches, through the gateway's own server, and to remove what is over. */
export function startBackgroundWork(gateway: Gateway, service: BatchService, server: Server): BackgroundWork {
  const settings = () => gateway.settings.batches;
  const { log, exchanges, directory } = gateway;
  const worker = new BatchWorker({
    work: new WorkStore(service.storage, randomUUID()),
    files: service.files,
    envelope: service.envelope,
    log,
    settings,
    clientRequests() {
      let count = 0;
      for (const { isBatch } of exchanges) if (!isBatch) count += 1;
      return count;
    },
    principalOf: (batch) => findPrincipal(directory, batch),
    call: (request) => callInternally(server, request),
  });
  const sweeper = new Sweeper(new SweepStore(service.storage, service.envelope), settings, log);
  worker.start();
  sweeper.start();
  return {
    stop: () => worker.stop(),
    abort: () => worker.abort(),
    async close() {
      await sweeper.close();
      await service.storage.close();
    },
  };
}
