// Code whose variables stay from one run to the next.
import { PythonSandbox } from "microsandbox";

const sandbox = await PythonSandbox.create();
try {
  await sandbox.run("total = 0");
  for (const number of [1, 2, 3]) await sandbox.run(`total += ${number}`);
  const execution = await sandbox.run("total");
  console.log(await execution.output()); // -> 6
} finally {
  await sandbox.close();
}
