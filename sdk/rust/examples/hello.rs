//! Code whose variables stay from one run to the next.
use microsandbox::{PythonSandbox, Result, SandboxOptions};

#[tokio::main]
async fn main() -> Result<()> {
    let sandbox = PythonSandbox::create(SandboxOptions::default()).await?;
    sandbox.run("total = 0").await?;
    for number in 1..=3 {
        sandbox.run(&format!("total += {number}")).await?;
    }
    println!("{}", sandbox.run("total").await?.output().await?); // -> 6
    sandbox.close().await
}
