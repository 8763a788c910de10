// Prints what Zapier's own schema finds in an integration. Functions become the pointers that Zapier's own tools write.
const { validateAppDefinition } = require("zapier-platform-schema");

const pointed = (value) => {
  if (typeof value === "function") return `$func$${value.length}$f$`;
  if (Array.isArray(value)) return value.map(pointed);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, pointed(one)]));
};
const app = pointed(require(process.argv[2]));

console.log(JSON.stringify(validateAppDefinition(app).errors.map(String)));
delete app.triggers.event.operation.perform;
console.log(validateAppDefinition(app).errors.length > 0);
