// Stands in for Zapier: runs one part of an integration with `z.request` and `{{bundle…}}`, as Zapier's documentation describes them.
const app = require(process.argv[2]);
const [part, bundle] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

const valueOf = (path, root) => path.split(".").reduce((node, key) => node[key], root);
const filled = (value) =>
  JSON.parse(JSON.stringify(value).replace(/\{\{bundle\.([\w.]+)\}\}/g, (_, path) => JSON.stringify(valueOf(path, bundle)).slice(1, -1)));

async function request(given) {
  const { url, method = "GET", headers, body } = filled({ ...app.requestTemplate, ...(typeof given === "string" ? { url: given } : given) });
  const response = await fetch(url, { method, headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const text = await response.text();
  // Zapier raises an error for these, too.
  if (response.status >= 400) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  return { status: response.status, data: text ? JSON.parse(text) : {} };
}

async function run(target) {
  return typeof target === "function" ? target({ request }, bundle) : (await request(target)).data;
}

run(valueOf(part, app)).then((result) => console.log(JSON.stringify(result)));
