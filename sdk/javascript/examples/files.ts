// Data goes in, is worked on, and comes out: in TypeScript.
import { type Execution, PythonSandbox } from "microsandbox";

const CODE = `
import json
rows = json.load(open("/data/in.json"))
json.dump({"sum": sum(rows)}, open("/data/out.json", "w"))
`;

async function main(): Promise<void> {
  const sandbox = await PythonSandbox.create();
  try {
    await sandbox.files.write("/data/in.json", JSON.stringify([1, 2, 3]));
    const execution: Execution = await sandbox.run(CODE);
    if (execution.hasError()) throw new Error(await execution.error());
    const { sum } = JSON.parse(await sandbox.files.read("/data/out.json")) as { sum: number };
    console.log(sum); // -> 6
  } finally {
    await sandbox.close();
  }
}

main();
