"""Data goes in, is worked on, and comes out: without asyncio."""

import json

from microsandbox.sync import PythonSandbox

CODE = """
import json
rows = json.load(open("/data/in.json"))
json.dump({"sum": sum(rows)}, open("/data/out.json", "w"))
"""

with PythonSandbox.create() as sandbox:
    sandbox.files.write("/data/in.json", json.dumps([1, 2, 3]))
    execution = sandbox.run(CODE)
    if execution.has_error():
        raise SystemExit(execution.error())
    print(json.loads(sandbox.files.read("/data/out.json")))  # -> {'sum': 6}
