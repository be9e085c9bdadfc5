// Builds dist/esm and dist/cjs out of src, with types.
//
// `npm install FOLDER` runs this without having installed what the build needs: then it is installed here first.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function compiler() {
  try {
    return createRequire(import.meta.url).resolve("typescript/lib/tsc.js");
  } catch {
    return null;
  }
}

function installCompiler() {
  const npm = process.env.npm_execpath;
  if (!npm) throw new Error(`typescript is missing: run \`npm install\` in ${root}`);
  const options = ["--ignore-scripts", "--include=dev", "--no-package-lock", "--no-audit", "--no-fund"];
  execFileSync(process.execPath, [npm, "install", ...options], { cwd: root, stdio: "inherit" });
  return compiler();
}

const tsc = compiler() ?? installCompiler();
rmSync(join(root, "dist"), { recursive: true, force: true });
for (const [folder, module, type] of [["esm", "ES2020", "module"], ["cjs", "CommonJS", "commonjs"]]) {
  const out = join(root, "dist", folder);
  const options = ["-p", root, "--module", module, "--outDir", out];
  execFileSync(process.execPath, [tsc, ...options], { stdio: "inherit" });
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "package.json"), JSON.stringify({ type }) + "\n");
}
