// Print what the official parser finds in an AsyncAPI document, and how many messages the document has.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

new Parser().parse(readFileSync(process.argv[2], "utf8")).then(({ document, diagnostics }) => {
  for (const { path, message } of diagnostics) console.log(`${path.join("/")}: ${message}`);
  console.log(`messages: ${document?.allMessages().all().length}`);
});
