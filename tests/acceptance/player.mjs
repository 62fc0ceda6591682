// Calls the official client, in Node and in a browser.

import { createAuthClient } from "better-auth/client";
import { stripeClient } from "@better-auth/stripe/client";

const AsyncFunction = (async () => {}).constructor;
const plugin = stripeClient({ subscription: true });

function tagged(value) {
  if (value instanceof Date) return { $date: value.toISOString() };
  if (Array.isArray(value)) return value.map(tagged);
  if (value === null || typeof value !== "object") return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, tagged(each)]));
}

// `call` is JavaScript as the documents write it, over `client` (S is `client.subscription`, F is `client.$fetch`, CODES
// the error codes that the plugin exports). The answer is {returned} or {threw}, in which a Date is {"$date": "..."}.
export async function play(baseURL, call, headers) {
  const run = new AsyncFunction("client", "S", "F", "CODES", `return ${call}`);
  try {
    const client = createAuthClient({ baseURL, plugins: [plugin], fetchOptions: { headers } });
    return { returned: tagged(await run(client, client.subscription, client.$fetch, plugin.$ERROR_CODES)) };
  } catch (error) {
    return { threw: String(error) };
  }
}
