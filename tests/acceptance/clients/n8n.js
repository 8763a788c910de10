// Stands in for n8n: calls one function of the compiled node with the context that n8n's types describe.
const { TmsApi } = require(`${process.argv[2]}/TmsApi.credentials.js`);
const { TmsTrigger } = require(`${process.argv[2]}/TmsTrigger.node.js`);
const { part, url, event, credentials, body } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

const filled = (value) => value.replace(/^=/, "").replace(/\{\{\$credentials\.(\w+)\}\}/g, (_, name) => credentials[name]);

async function httpRequestWithAuthentication(_type, { method, url, qs, body }) {
  const headers = { "Content-Type": "application/json" };
  for (const [name, value] of Object.entries(new TmsApi().authenticate.properties.headers)) headers[name] = filled(value);
  const query = qs ? `?${new URLSearchParams(qs)}` : "";
  const response = await fetch(url + query, { method, headers, body: JSON.stringify(body) });
  const text = await response.text();
  // n8n raises an error for these, too.
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : "";
}

const context = {
  getNodeWebhookUrl: () => url,
  getNodeParameter: () => event,
  getCredentials: async () => credentials,
  getBodyData: () => body,
  helpers: { httpRequestWithAuthentication, returnJsonArray: (one) => [one].flat().map((json) => ({ json })) },
};
const node = new TmsTrigger();
const method = part.split(".").reduce((parent, key) => parent[key], node);

method.call(context).then((result) => console.log(JSON.stringify(result)));
