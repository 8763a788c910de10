// The life of a subscription of MCP Events, by the AI SDK: list, subscribe, receive and verify, refresh, unsubscribe.
import { once } from "node:events";
import { createServer } from "node:http";
import { createMCPClient, experimental_createMCPEventWebhook as createWebhook } from "@ai-sdk/mcp";

const { TMS_URL, TMS_KEY, TMS_ORGANIZATION, RECEIVER_PORT } = process.env;
const rows = new Map();
const store = {
  get: async (key) => rows.get(key),
  getById: async (id) => [...rows.values()].find((row) => row.id === id),
  set: async (row) => void rows.set(row.key, row),
  update: async (key, changes) => void rows.set(key, { ...rows.get(key), ...changes }),
  delete: async (key) => void rows.delete(key),
};

let deliver;
const delivered = new Promise((resolve) => (deliver = resolve));
const webhook = createWebhook({
  store,
  onEvent: async ({ event }) => deliver(event),
  onError: (error) => console.log("error:", error),
});
const receiver = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  const { method, headers } = request;
  const answer = await webhook(new Request(`http://127.0.0.1:${RECEIVER_PORT}${request.url}`, { method, headers, body }));
  response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
  console.log("received:", answer.status);
});
await once(receiver.listen(Number(RECEIVER_PORT), "127.0.0.1"), "listening");

const client = await createMCPClient({
  transport: { type: "http", url: `${TMS_URL}/mcp/`, headers: { Authorization: `Bearer ${TMS_KEY}` } },
  experimental_events: { store },
});
const first = await client.experimental_events.list();
console.log("listed:", first.events.length, first.nextCursor !== undefined);
const subscription = await client.experimental_events.subscribe({
  name: "class.cancelled",
  arguments: { organization: Number(TMS_ORGANIZATION) },
  delivery: { mode: "webhook", url: `http://127.0.0.1:${RECEIVER_PORT}/events`, allowInsecureLocalhost: true },
  ttlMs: 3_600_000,
});
console.log("subscribed:", subscription.id.slice(0, 4), subscription.cursor, subscription.truncated);
// The test cancels a class now, and says when its worker has nothing left to do.
const event = await delivered;
await once(process.stdin, "data");
console.log("event:", event.name, event.data.data.name);
const refreshed = await client.experimental_events.refresh({ id: subscription.id });
console.log("refreshed:", refreshed.id === subscription.id, refreshed.refreshBefore > subscription.refreshBefore);
await client.experimental_events.unsubscribe({ id: subscription.id });
console.log("unsubscribed:", rows.size);
console.log("tools:", ...Object.keys(await client.tools()));
await client.close();
receiver.close();
process.stdin.destroy();
