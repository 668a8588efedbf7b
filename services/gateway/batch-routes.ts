import type { Express, Request, RequestHandler } from "express";
import { PATHS } from "./contract.ts";
import type { Step } from "./exchange.ts";
import { cancelBatch, createBatch, describeBatch, listBatches } from "./steps/batches.ts";
import { createFile, deleteFile, describeFile, listFiles, readFile } from "./steps/files.ts";

/** Makes the handlers of an endpoint. */
export interface Handlers {
  take(endpoint: string, step: Step): RequestHandler;
  /** @param allow the methods that the endpoint takes instead */
  refuse(endpoint: string, allow: string): RequestHandler;
}

/** The routes for files and batches. */
export function addBatchRoutes(app: Express, { take, refuse }: Handlers): void {
  const { files, file, fileContent, batches, batch, batchCancel } = PATHS;
  const withId = (endpoint: string, step: (id: string) => Step): RequestHandler => {
    return (request: Request, response, next) =>
      take(endpoint, step(String(request.params.id)))(request, response, next);
  };
  app.get(files, take(files, listFiles)).post(files, take(files, createFile));
  app.all(files, refuse(files, "GET, HEAD, POST"));
  app.get(toRoute(file), withId(file, describeFile)).delete(toRoute(file), withId(file, deleteFile));
  app.all(toRoute(file), refuse(file, "GET, HEAD, DELETE"));
  app.get(toRoute(fileContent), withId(fileContent, readFile));
  app.all(toRoute(fileContent), refuse(fileContent, "GET, HEAD"));
  app.get(batches, take(batches, listBatches)).post(batches, take(batches, createBatch));
  app.all(batches, refuse(batches, "GET, HEAD, POST"));
  app.get(toRoute(batch), withId(batch, describeBatch)).all(toRoute(batch), refuse(batch, "GET, HEAD"));
  app.post(toRoute(batchCancel), withId(batchCancel, cancelBatch));
  app.all(toRoute(batchCancel), refuse(batchCancel, "POST"));
}

/** A path of the contract as Express writes it. */
function toRoute(path: string): string {
  return path.replace(/\{\w+\}/, ":id");
}
