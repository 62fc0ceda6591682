// Plays calls of the official client in Node. Each line on standard input is JSON: {call, headers}. Each line of the
// answer is that of `play`.

import { createInterface } from "node:readline";
import { play } from "./player.mjs";

const [, , baseURL] = process.argv;

for await (const line of createInterface({ input: process.stdin })) {
  const { call, headers } = JSON.parse(line);
  process.stdout.write(JSON.stringify(await play(baseURL, call, headers)) + "\n");
}
