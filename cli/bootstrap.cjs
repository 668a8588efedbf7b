// Runs a TypeScript entry on the Node.js that the lockfile pins, after installing what is missing.
// Plain CommonJS in the syntax of ECMAScript 5: any Node.js must be able to parse this and print the message below.
"use strict";

var OLDEST_NODE = 20;
var major = Number(process.versions.node.split(".")[0]);
var problem = "error: Node.js " + OLDEST_NODE + " or newer is needed, this is " + process.version + ".";
var remedy = "remedy: install a current Node.js (https://nodejs.org) and run the command again.";
if (major < OLDEST_NODE) {
  console.error(problem + "\n" + remedy);
  process.exit(1);
}

require("./install.cjs").run(process.argv[2], process.argv.slice(3));
