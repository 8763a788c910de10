// A Zapier integration with one trigger, which subscribes itself to an event of the training system.
const { version, dependencies } = require("./package.json");

const api = "{{bundle.authData.url}}";
const days = (number) => new Date(Date.now() + number * 86_400_000).toISOString();

const events = async (z, bundle) => {
  const { data } = await z.request(`${bundle.authData.url}/event-types/`);
  const offered = data.results.filter((one) => one.offered);
  return { results: offered.map(({ name }) => ({ id: name, label: name })), paging_token: null };
};

const subscribe = async (z, bundle) => {
  const { data } = await z.request({
    url: `${bundle.authData.url}/hooks/`,
    method: "POST",
    body: { target_url: bundle.targetUrl, event: bundle.inputData.event, expires_at: days(60) },
  });
  // Zapier subscribes again after this date. The same URL and event are the same hook, with a new end.
  return { ...data, expiration_date: days(30) };
};

module.exports = {
  version,
  platformVersion: dependencies["zapier-platform-core"],
  authentication: {
    type: "custom",
    fields: [
      { key: "url", label: "URL of the API", helpText: "Such as https://tms.example.com/api", required: true },
      { key: "key", label: "API key", type: "password", required: true },
    ],
    test: { url: `${api}/me/` },
  },
  requestTemplate: { headers: { Authorization: "Bearer {{bundle.authData.key}}" } },
  triggers: {
    event: {
      key: "event",
      noun: "Event",
      display: { label: "New Event", description: "Triggers when an event happens in the training system." },
      operation: {
        type: "hook",
        inputFields: [{ key: "event", label: "Event", required: true, choices: { perform: events } }],
        performSubscribe: subscribe,
        performUnsubscribe: { url: `${api}/hooks/{{bundle.subscribeData.id}}/`, method: "DELETE" },
        performList: { url: `${api}/event-types/{{bundle.inputData.event}}/samples/` },
        perform: (z, bundle) => [bundle.cleanedRequest],
        sample: { id: "evt_0123456789abcdef0123456789abcdef", type: "class.cancelled", data: { id: 8841 } },
      },
    },
  },
};
