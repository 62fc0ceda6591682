// Prints the import map by which a browser finds the official client: what Node finds for every bare name that a module
// of it imports, with the conditions of a browser. The paths are those below the folder of this file.

import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = new URL(".", import.meta.url);
const IMPORT = /\b(?:from|import)\s*\(?\s*["']([^"'\s]+)["']/g;

const seen = new Set();
const scopes = {};

function visit(module) {
  if (seen.has(module)) return;
  seen.add(module);
  for (const [, name] of readFileSync(fileURLToPath(module), "utf8").matchAll(IMPORT)) {
    let found;
    try {
      found = import.meta.resolve(name, module);
    } catch {
      continue;
    }
    if (!found.startsWith("file:")) continue;
    if (!/^[./]/.test(name)) (scopes[pathOf(module)] ??= {})[name] = pathOf(found);
    visit(found);
  }
}

function pathOf(module) {
  return "/" + relative(fileURLToPath(HERE), fileURLToPath(module));
}

visit(new URL("player.mjs", HERE).href);
process.stdout.write(JSON.stringify({ scopes }));
