// Reads an AsyncAPI document with the reference parser. Its errors and warnings fail, and so do examples that are not
// what their message says, which the parser does not look at. Then the document is broken in some ways, each of which
// must be noticed.
import { readFileSync } from "node:fs"
import { Parser } from "@asyncapi/parser"
import Ajv from "ajv"
import addFormats from "ajv-formats"

const WARNING = 1

const BREAKS = {
  "a message that is not there": (doc) => (first(doc.channels).messages.other = { $ref: "#/components/messages/no.such" }),
  "an operation on another channel's message": (doc) =>
    (first(doc.operations).messages = Object.values(doc.operations).at(-1).messages),
  "partitions that are no number": (doc) => (first(doc.channels).bindings.kafka.partitions = "six"),
  "a field of no type": (doc) => (first(first(doc.components.schemas).properties).type = "objekt"),
  "an example of another event": (doc) => (first(doc.components.messages).examples[0].headers.ce_type = "no.such"),
  "an example without its fields": (doc) => (first(doc.components.messages).examples[0].payload = {}),
}

function first(object) {
  return Object.values(object)[0]
}

async function flaws(text) {
  const { document, diagnostics } = await new Parser().parse(text)
  const told = diagnostics
    .filter((found) => found.severity <= WARNING)
    .map((found) => `${found.path.join(".")}: ${found.message} (${found.code})`)
  return [...told, ...(document?.allMessages() ?? []).flatMap(untrue)]
}

function untrue(message) {
  const ajv = addFormats(new Ajv({ strict: false }))
  return message.examples().flatMap((example) =>
    ["headers", "payload"].flatMap((part) =>
      ajv.validate(message[part]().json(), example[part]())
        ? []
        : [`${example.name()} is no ${message.name()}: ${ajv.errorsText(ajv.errors, { dataVar: part })}`],
    ),
  )
}

const text = readFileSync(process.argv[2], "utf8")
const wrong = await flaws(text)
for (const [name, plant] of Object.entries(wrong.length > 0 ? {} : BREAKS)) {
  const broken = JSON.parse(text)
  plant(broken)
  if ((await flaws(JSON.stringify(broken))).length === 0) wrong.push(`${name} went unnoticed`)
}
if (wrong.length > 0) {
  console.error(wrong.join("\n"))
  process.exit(1)
}
console.log(`the event catalogue is valid, and ${Object.keys(BREAKS).length} planted breaks were noticed`)
