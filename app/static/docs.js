// @ts-check
/** The service's OpenAPI description as a page, without a line from anywhere else. */

/** @typedef {Record<string, any>} Json */

/**
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * @param {string[]} head
 * @param {(Node | string)[][]} rows
 * @returns {HTMLElement}
 */
function table(head, rows) {
  const cells = head.map((title) => element("th", { scope: "col" }, title));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  return element("div", { class: "scroll" },
    element("table", {},
      element("thead", {}, element("tr", {}, ...cells)),
      element("tbody", {}, ...body)));
}

/** @param {string} reference such as "#/components/schemas/Problem" */
const nameOf = (reference) => reference.slice(reference.lastIndexOf("/") + 1);

/** @param {string} name */
const schemaLink = (name) => element("a", { href: `#schema-${name}` }, name);

/**
 * @param {Json | undefined} schema
 * @returns {Node} what a value of this schema is
 */
function kind(schema) {
  if (!schema) return document.createTextNode("");
  if (schema.$ref) return schemaLink(nameOf(schema.$ref));
  if (schema.enum || schema.const) {
    const values = schema.enum ?? [schema.const];
    return element("span", {}, values.map((/** @type {unknown} */ v) => JSON.stringify(v)).join(" or "));
  }
  if (schema.anyOf) {
    const parts = schema.anyOf.flatMap((/** @type {Json} */ part) => [" or ", kind(part)]);
    return element("span", {}, ...parts.slice(1));
  }
  if (schema.type === "array") return element("span", {}, "list of ", kind(schema.items));
  const isFile = schema.format === "binary" || schema.contentMediaType !== undefined;
  return element("span", {}, isFile ? "file" : String(schema.type ?? "anything"));
}

/**
 * @param {Json} schema
 * @returns {HTMLElement}
 */
function fields(schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => [
    element("code", {}, name),
    element("span", {}, kind(field), required.has(name) ? "" : ", optional"),
    field.description ?? "",
  ]);
  return table(["Field", "Type", "Meaning"], rows);
}

/**
 * @param {Json} operation
 * @param {Json} schemas
 * @returns {HTMLElement[]}
 */
function request(operation, schemas) {
  const parts = [];
  if (operation.parameters?.length) {
    const rows = operation.parameters.map((/** @type {Json} */ given) => [
      element("code", {}, given.name),
      element("span", {}, kind(given.schema), ` in ${given.in}`),
      given.description ?? "",
    ]);
    parts.push(element("h3", {}, "Parameters"), table(["Name", "Type", "Meaning"], rows));
  }
  for (const [media, body] of Object.entries(operation.requestBody?.content ?? {})) {
    const schema = body.schema.$ref ? schemas[nameOf(body.schema.$ref)] : body.schema;
    parts.push(element("h3", {}, "Body, ", element("code", {}, media)), fields(schema));
  }
  return parts;
}

/**
 * @param {string} path
 * @param {string} method
 * @param {Json} operation
 * @param {Json} schemas
 * @returns {HTMLElement}
 */
function describe(path, method, operation, schemas) {
  const answers = Object.entries(operation.responses).map(([status, answer]) => {
    const [media, content] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
    return [status, element("span", {}, kind(content.schema), ` ${media}`), answer.description];
  });
  return element("section", { "aria-labelledby": operation.operationId },
    element("h2", { id: operation.operationId },
      element("span", { class: "method" }, method.toUpperCase()), " ", element("code", {}, path)),
    element("p", {}, `${operation.summary}.`),
    ...(operation.description ? [element("p", {}, operation.description)] : []),
    ...request(operation, schemas),
    element("h3", {}, "Answers"),
    table(["Status", "Body", "When"], answers));
}

/** @param {Json} description */
function show(description) {
  const schemas = description.components?.schemas ?? {};
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  const entries = [];
  for (const [path, operations] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(/** @type {Json} */ (operations))) {
      main.append(describe(path, method, operation, schemas));
      entries.push(element("li", {},
        element("a", { href: `#${operation.operationId}` }, `${method.toUpperCase()} ${path}`)));
    }
  }
  for (const [name, schema] of Object.entries(schemas)) {
    if (name.startsWith("Body_")) continue;
    main.append(element("section", { "aria-labelledby": `schema-${name}` },
      element("h2", { id: `schema-${name}` }, name),
      element("p", {}, schema.description ?? ""),
      fields(schema)));
  }
  const contents = /** @type {HTMLElement} */ (document.getElementById("contents"));
  contents.append(element("ul", {}, ...entries));
  contents.hidden = false;
}

const status = /** @type {HTMLElement} */ (document.getElementById("status"));
try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  show(await response.json());
  status.hidden = true;
} catch (error) {
  status.textContent = `The description could not be read: ${error instanceof Error ? error.message : error}`;
}
