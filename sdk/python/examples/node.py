"""JavaScript, with top-level await."""

from microsandbox.sync import NodeSandbox

with NodeSandbox.create() as sandbox:
    sandbox.run("const greet = async name => `Hello ${name}!`")
    print(sandbox.run("console.log(await greet('Node'))").output())  # -> Hello Node!
