// Prints what a declaration file exports without a comment that documents it: names, and members of classes and
// interfaces. Arguments: TypeScript's library, the file.
import { createRequire } from "node:module";

const [library, entry] = process.argv.slice(2);
const ts = createRequire(import.meta.url)(library);
const options = { target: ts.ScriptTarget.ES2022, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"] };
const program = ts.createProgram([entry], options);
const checker = program.getTypeChecker();
const isDocumented = (symbol) => symbol.getDocumentationComment(checker).length > 0;
const isOurs = (declaration) => !program.isSourceFileDefaultLibrary(declaration.getSourceFile());
const isOwn = (symbol) => symbol.declarations?.some(isOurs);

let count = 0;
for (const exported of checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)))) {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  count++;
  if (!isDocumented(symbol)) console.log(symbol.name);
  for (const member of symbol.members?.values() ?? []) {
    const hidden = member.declarations?.some((each) => ts.getCombinedModifierFlags(each) & ts.ModifierFlags.Private);
    const named = member.flags & (ts.SymbolFlags.Method | ts.SymbolFlags.Property | ts.SymbolFlags.Accessor);
    if (!hidden && named && isOwn(member) && !isDocumented(member)) console.log(`${symbol.name}.${member.name}`);
  }
}
console.log(`${count} names`);
