// Output as it comes, and code that is interrupted.
import { PythonSandbox } from "microsandbox";

const FOREVER = `
import itertools
for n in itertools.count():
    print(n)
`;

const sandbox = await PythonSandbox.create();
try {
  for await (const event of sandbox.stream(FOREVER)) {
    if (event.type === "output" && event.text.includes("100")) break; // interrupts the code
  }
  // The context has survived: its variables are there.
  console.log(await (await sandbox.run("n >= 100")).output()); // -> True

  const slow = await sandbox.run("while True: pass", { timeout: 0.5 });
  console.log(slow.end); // -> timeout
} finally {
  await sandbox.close();
}
