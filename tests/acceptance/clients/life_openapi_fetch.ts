// The life of a webhook, by openapi-fetch with the types of openapi-typescript.
import createClient from "openapi-fetch";
import type { paths } from "./webhooks.js";

const { TMS_URL, TMS_KEY, TMS_ORGANIZATION, RECEIVER_URL } = process.env;
const client = createClient<paths>({ baseUrl: TMS_URL, headers: { Authorization: `Api-Key ${TMS_KEY}` } });

function expected<Data>({ data, error }: { data?: Data; error?: { detail: string } }): Data {
  if (data === undefined) throw new Error(error?.detail);
  return data;
}

const created = expected(
  await client.POST("/api/webhooks/", {
    body: {
      organization: Number(TMS_ORGANIZATION),
      name: "Payroll",
      url: RECEIVER_URL,
      subscriptions: [{ event_type: "class.*" }],
    },
  }),
);
const params = { path: { id: created.id } };
const added = expected(
  await client.POST("/api/webhooks/{webhook_id}/subscriptions/", {
    params: { path: { webhook_id: created.id } },
    body: { event_type: "enrollment.requested" },
  }),
);
console.log("subscribed:", added.event_type);
const test = expected(await client.POST("/api/webhooks/{id}/test/", { params }));
console.log("test:", test.status_code);
const snapshot = "/api/webhooks/{id}/snapshot/";
const count = expected(await client.POST(snapshot, { params, body: { nouns: ["class"], dry_run: true } }));
console.log("dry run:", count.total, count.jobs.length);
const started = expected(await client.POST(snapshot, { params, body: { nouns: ["class"] } }));
const job = expected(await client.GET("/api/jobs/{id}/", { params: { path: { id: started.jobs[0].id } } }));
console.log("snapshot:", started.total, job.kind, job.status);
const delivery = { path: { id: test.delivery } };
console.log("resent:", expected(await client.POST("/api/deliveries/{id}/resend/", { params: delivery })).status);
const rotated = expected(await client.POST("/api/webhooks/{id}/rotate-secret/", { params }));
console.log("rotated:", rotated.secret !== created.secret);
const page = expected(await client.GET("/api/webhooks/", { params: { query: { name: "Payroll" } } }));
console.log("webhooks:", ...page.results.map((one) => one.name));
const subscription = { path: { webhook_id: created.id, id: added.id } };
for (const { response } of [
  await client.DELETE("/api/webhooks/{webhook_id}/subscriptions/{id}/", { params: subscription }),
  await client.DELETE("/api/webhooks/{id}/", { params }),
]) {
  if (response.status !== 204) throw new Error(String(response.status));
}
console.log("deleted:", (await client.GET("/api/webhooks/{id}/", { params })).error?.type);
