// Prints the first line of a script that is not of ES2021: which TypeScript writes otherwise for that version than for
// its newest. Arguments: TypeScript's library, the script.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [library, script] = process.argv.slice(2);
const ts = createRequire(import.meta.url)(library);
const source = readFileSync(script, "utf8");

function writtenFor(target) {
  const module = ts.ModuleKind.CommonJS;
  const compilerOptions = { target, module, useDefineForClassFields: true, alwaysStrict: false };
  const made = ts.transpileModule(source, { compilerOptions, reportDiagnostics: true, fileName: "script.js" });
  for (const each of made.diagnostics) console.log(ts.flattenDiagnosticMessageText(each.messageText, "\n"));
  return made.outputText.split("\n");
}

const older = writtenFor(ts.ScriptTarget.ES2021);
const line = writtenFor(ts.ScriptTarget.ESNext).find((each, at) => each !== older[at]);
if (line !== undefined) console.log(line);
