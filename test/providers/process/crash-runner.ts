// A runner that the crash test kills: announces that it is loaded, does one operation on the word, and reports.
import { once } from "node:events";
import { platformProvider } from "../../../providers/provider.ts";

const [operation = "", urn = "", olds = "{}", news = "{}"] = process.argv.slice(2);
const before = JSON.parse(olds);
const after = JSON.parse(news);

process.send?.("loaded");
await once(process, "message");
if (operation === "create") await platformProvider.create(urn, after);
if (operation === "update") await platformProvider.update("id", urn, before, after);
if (operation === "delete") await platformProvider.delete("id", urn, before);
process.send?.("done");
process.disconnect?.();
