// The life of a webhook, and every kind of body, by the typescript-fetch client of OpenAPI Generator.
import { readFileSync } from "node:fs";
import * as tms from "./client/index.js";

const { TMS_URL, TMS_KEY, TMS_ORGANIZATION, RECEIVER_URL, BODIES } = process.env;
const configuration = new tms.Configuration({ basePath: TMS_URL, apiKey: `Api-Key ${TMS_KEY}` });
const webhooks = new tms.WebhooksApi(configuration);
const subscriptions = new tms.SubscriptionsApi(configuration);
const deliveries = new tms.DeliveriesApi(configuration);

const created = await webhooks.webhookCreate({
  webhookRequest: {
    organization: Number(TMS_ORGANIZATION),
    name: "Payroll",
    url: RECEIVER_URL,
    subscriptions: [{ eventType: "class.*" }],
  },
});
const { id } = created;
const subscription = await subscriptions.subscriptionCreate({
  webhookId: id,
  subscriptionRequest: { eventType: "enrollment.requested" },
});
console.log("subscribed:", subscription.eventType);
const test = await webhooks.webhookTest({ id });
console.log("test:", test.statusCode);
const count = await webhooks.webhookSnapshot({ id, snapshotRequest: { nouns: ["class"], dryRun: true } });
console.log("dry run:", count.total, count.jobs.length);
const started = await webhooks.webhookSnapshot({ id, snapshotRequest: { nouns: ["class"] } });
const job = await new tms.JobsApi(configuration).jobRetrieve({ id: started.jobs[0].id });
console.log("snapshot:", started.total, job.kind, job.status);
console.log("resent:", (await deliveries.deliveryResend({ id: test.delivery })).status);
console.log("rotated:", (await webhooks.webhookRotateSecret({ id })).secret !== created.secret);
console.log("webhooks:", ...(await webhooks.webhookList({ name: "Payroll" })).results.map((one) => one.name));
await subscriptions.subscriptionDestroy({ webhookId: id, id: subscription.id });
await webhooks.webhookDestroy({ id });
try {
  await webhooks.webhookRetrieve({ id });
} catch (error) {
  if (!(error instanceof tms.ResponseError)) throw error;
  console.log("deleted:", tms.ProblemFromJSON(await error.response.json()).type);
}

// Whether each value of an event is in the object that the client made of it.
function holds(made: any, event: any): boolean {
  if (made instanceof Date) return made.getTime() === Date.parse(event);
  if (made instanceof Set) return holds([...made], event);
  if (event === null) return made == null;
  if (typeof event !== "object") return made === event;
  if (Array.isArray(event)) return made.length === event.length && event.every((one, index) => holds(made[index], one));
  return Object.entries(event).every(([name, value]) => holds(made[name] ?? made[camelCase(name)] ?? made[`_${name}`], value));
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_all, letter) => letter.toUpperCase());
}

let read = 0;
for (const text of JSON.parse(readFileSync(BODIES!, "utf8"))) {
  const event = JSON.parse(text);
  const name = camelCase(`_${event.type.replaceAll(".", "_")}`) + "Event";
  const made = (tms as any)[`${name}FromJSON`](event);
  if (!holds(made, event)) throw new Error(text);
  read += 1;
}
console.log("bodies:", read);
