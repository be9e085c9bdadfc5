// JavaScript, with top-level await, from a CommonJS program.
const { NodeSandbox } = require("microsandbox");

async function main() {
  const sandbox = await NodeSandbox.create();
  try {
    await sandbox.run("const greet = async name => `Hello ${name}!`");
    const execution = await sandbox.run("console.log(await greet('Node'))");
    console.log(await execution.output()); // -> Hello Node!
  } finally {
    await sandbox.close();
  }
}

main();
