// Reads an AsyncAPI document with the reference parser: its errors and warnings, and examples that are not what their
// message says (which the parser does not look at), fail.
import { readFileSync } from "node:fs"
import { Parser } from "@asyncapi/parser"
import Ajv from "ajv"
import addFormats from "ajv-formats"

const WARNING = 1

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"))
const wrong = diagnostics
  .filter((found) => found.severity <= WARNING)
  .map((found) => `${found.path.join(".")}: ${found.message} (${found.code})`)

const ajv = addFormats(new Ajv({ strict: false }))
for (const message of document?.allMessages() ?? []) {
  for (const example of message.examples()) {
    for (const [part, schema, value] of [
      ["headers", message.headers(), example.headers()],
      ["payload", message.payload(), example.payload()],
    ]) {
      if (!ajv.validate(schema.json(), value)) {
        wrong.push(`${example.name()}: its ${part} is not a ${message.name()}: ${ajv.errorsText(null, { dataVar: part })}`)
      }
    }
  }
}

if (wrong.length > 0) {
  console.error(wrong.join("\n"))
  process.exit(1)
}
console.log(`${document.allMessages().length} messages, ${document.allOperations().length} operations: valid`)
