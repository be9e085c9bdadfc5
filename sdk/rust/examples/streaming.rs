//! Output as it comes, and code that is interrupted.
use std::time::Duration;

use microsandbox::{Event, PythonSandbox, Result, RunOptions, SandboxOptions};

const FOREVER: &str = "
import itertools
for n in itertools.count():
    print(n)
";

#[tokio::main]
async fn main() -> Result<()> {
    let sandbox = PythonSandbox::create(SandboxOptions::default()).await?;
    let mut stream = sandbox.stream(FOREVER, RunOptions::new()).await?;
    while let Some(event) = stream.next().await? {
        if matches!(event, Event::Output(output) if output.text().contains("100")) {
            break;
        }
    }
    drop(stream); // interrupts the code

    // The context has survived: its variables are there.
    println!("{}", sandbox.run("n >= 100").await?.output().await?); // -> True

    let slow = sandbox.run_with("while True: pass", RunOptions::new().timeout(Duration::from_millis(500))).await?;
    println!("{:?}", slow.end); // -> Timeout
    sandbox.close().await
}
