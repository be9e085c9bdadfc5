//! What programs of that time do, with the client of that time. Prints what it gets; test_published.py judges.
use microsandbox::{BaseSandbox, NodeSandbox, PythonSandbox, StartOptions};

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn python() -> Result<(), Error> {
    let mut sandbox = PythonSandbox::create("published-rust").await?;
    sandbox.start(Some(StartOptions { memory: 512, cpus: 1.0, ..Default::default() })).await?;
    sandbox.run("x = 20").await?;
    let execution = sandbox.run("print(x + 1)\nx + 22").await?;
    println!("output: {:?}", execution.output().await?);
    println!("status: {} {} {}", execution.status(), execution.language(), execution.has_error());
    let failed = sandbox.run("1/0").await?;
    println!("error: {}", failed.error().await?.lines().last().unwrap_or_default());
    let command = sandbox.command().await?;
    let done = command.run("sh", Some(vec!["-c", "echo out; echo err >&2; exit 3"]), Some(10)).await?;
    println!("command: {:?} {:?} {}", done.output().await?, done.error().await?, done.exit_code());
    let metrics = sandbox.metrics().await?;
    println!("metrics: {} {:?}", metrics.is_running().await?, metrics.all().await?.get("name"));
    let refused = command.run("/no/such/program", None, None).await;
    println!("refused: {}", refused.is_err());
    sandbox.stop().await
}

async fn node() -> Result<(), Error> {
    let mut sandbox = NodeSandbox::create("published-rust-node").await?;
    sandbox.start(None).await?;
    let execution = sandbox.run("console.log(await Promise.resolve('node'))\n1 + 1").await?;
    println!("node: {:?} {}", execution.output().await?, execution.language());
    sandbox.stop().await
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    python().await?;
    node().await
}
