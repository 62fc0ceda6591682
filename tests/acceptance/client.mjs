// Calls the official client. Each line on standard input is JSON: {call, headers}, where `call` is JavaScript
// as the documents write it, over `client` (S is `client.subscription`, F is `client.$fetch`, CODES the error codes that
// the plugin exports). Each line of the answer is JSON: {returned} or {threw}, in which a Date is {"$date": "..."}.

import { createInterface } from "node:readline";
import { createAuthClient } from "better-auth/client";
import { stripeClient } from "@better-auth/stripe/client";

const [, , baseURL] = process.argv;
const AsyncFunction = (async () => {}).constructor;

const plugin = stripeClient({ subscription: true });

function tagged(value) {
  if (value instanceof Date) return { $date: value.toISOString() };
  if (Array.isArray(value)) return value.map(tagged);
  if (value === null || typeof value !== "object") return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, tagged(each)]));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, headers } = JSON.parse(line);
  const client = createAuthClient({ baseURL, plugins: [plugin], fetchOptions: { headers } });
  const run = new AsyncFunction("client", "S", "F", "CODES", `return ${call}`);
  let answer;
  try {
    answer = { returned: tagged(await run(client, client.subscription, client.$fetch, plugin.$ERROR_CODES)) };
  } catch (error) {
    answer = { threw: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
