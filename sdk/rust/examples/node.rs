//! JavaScript, with top-level await.
use microsandbox::{NodeSandbox, Result, SandboxOptions};

#[tokio::main]
async fn main() -> Result<()> {
    let sandbox = NodeSandbox::create(SandboxOptions::default()).await?;
    sandbox.run("const greet = async name => `Hello ${name}!`").await?;
    let execution = sandbox.run("console.log(await greet('Node'))").await?;
    println!("{}", execution.output().await?); // -> Hello Node!
    sandbox.close().await
}
