// JSON schemas in words and lists that a person can read.

import { make } from "./elements.js";

const FEW = 12; // values of an enumeration that are written out

let definitions = {};

export function know(api) {
  definitions = api.components.schemas;
}

/** A list of the properties, those of what they hold beneath them; the type alone where there are none. */
export function described(schema, isRequest) {
  const held = inside(schema);
  if (!held) return make("p", {}, typed(schema));
  if (held === followed(schema)) return properties(held, isRequest);
  return make("div", {}, make("p", {}, typed(schema)), properties(held, isRequest));
}

function properties({ properties: own, required = [], oneOf }, isRequest) {
  const lines = Object.entries(own).map(([name, schema]) => {
    const line = make("li", {}, make("span", { class: "name" }, name), typed(schema));
    if (isRequest && required.includes(name)) line.append(make("span", { class: "required" }, "required"));
    if (schema.description) line.append(make("p", {}, schema.description));
    const held = inside(schema);
    if (held) line.append(properties(held, isRequest));
    return line;
  });
  if (oneOf) lines.unshift(make("li", {}, "one of these:"));
  return make("ul", { class: "properties" }, ...lines);
}

function followed(schema) {
  return schema.$ref ? definitions[schema.$ref.split("/").at(-1)] : schema;
}

/** The object with named properties that a schema is, or is a list of. */
function inside(schema) {
  const { properties: own, items } = followed(schema);
  if (own) return followed(schema);
  return items && inside(items);
}

function typed(schema) {
  const { type, enum: values, const: value, anyOf, items, additionalProperties: more, ...limits } = followed(schema);
  if (value !== undefined) return JSON.stringify(value);
  if (values) return `one of ${listed(values)}`;
  if (anyOf) return alternatives(anyOf.map(typed));
  if (type === "array") return arrayed(followed(schema));
  if (type === "object") return more?.type ? `object of ${many(more)} by name` : "object";
  if (limits.format === "binary") return "file";
  return [type ?? "any", ...bounds(limits)].join(", ");
}

function alternatives(types) {
  return [...new Set(types)].join(types.some((type) => type.includes(",")) ? "; or " : " or ");
}

function listed(values) {
  const few = values.slice(0, FEW).map((value) => JSON.stringify(value));
  return values.length > FEW ? `${few.join(", ")} … (${values.length.toLocaleString("en")} in all)` : few.join(", ");
}

/** Lists of one length within lists of one length are 28 × 28 of what they hold. */
function arrayed(schema) {
  const lengths = [];
  let inner = schema;
  while (inner.type === "array" && inner.minItems !== undefined && inner.minItems === inner.maxItems) {
    lengths.push(inner.minItems);
    inner = followed(inner.items);
  }
  if (lengths.length) return `array of ${lengths.join(" × ")}, each: ${typed(inner)}`;
  const { items = {}, minItems, maxItems } = schema;
  const most = maxItems === undefined ? [] : [`${minItems ?? 0} to ${maxItems.toLocaleString("en")} of them`];
  return [`array of ${many(items)}`, ...most].join(", ");
}

function many(schema) {
  const type = typed(schema);
  return /^\w+$/.test(type) ? `${type}s` : type;
}

function bounds({ minimum, maximum, maxLength }) {
  const words = [];
  if (minimum !== undefined && maximum !== undefined) words.push(`${minimum} to ${maximum}`);
  if (maxLength !== undefined) words.push(`up to ${maxLength.toLocaleString("en")} characters`);
  return words;
}
