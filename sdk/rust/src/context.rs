//! Contexts: variables that stay from one run of code to the next.

use serde_json::{json, Value};

use crate::error::Result;
use crate::execution::Execution;
use crate::models::ContextInfo;
use crate::options::{ProgramOptions, RunOptions};
use crate::scope::Scope;
use crate::stream::Stream;
use crate::wire;

/// One context of a sandbox.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    scope: &'a Scope,
    name: String,
    language: String,
}

impl Context<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// python or node.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// Runs code in it.
    pub async fn run(&self, code: &str) -> Result<Execution> {
        self.run_with(code, RunOptions::new()).await
    }

    /// Runs code in it, with options; their language and context are this one's.
    pub async fn run_with(&self, code: &str, options: RunOptions<'_>) -> Result<Execution> {
        self.scope.run_code(code, self.own(options)).await
    }

    /// Runs code in it, with what comes of it as it comes.
    pub async fn stream(&self, code: &str, options: RunOptions<'_>) -> Result<Stream<Execution>> {
        self.scope.stream_code(code, &mut self.own(options)).await
    }

    /// Interrupts the code that it runs, if it runs any. Its variables stay.
    pub async fn interrupt(&self) -> Result<ContextInfo> {
        wire::decode(self.call("interrupt").await?)
    }

    /// Ends it and starts it anew, without its variables.
    pub async fn restart(&self) -> Result<ContextInfo> {
        wire::decode(self.call("restart").await?)
    }

    /// Ends it.
    pub async fn remove(&self) -> Result<()> {
        self.call("remove").await.map(drop)
    }

    fn own<'o>(&self, options: RunOptions<'o>) -> RunOptions<'o> {
        options.language(&self.language).context(&self.name)
    }

    async fn call(&self, what: &str) -> Result<Value> {
        let params = json!({"language": self.language, "context": self.name});
        self.scope.call(&format!("context.{what}"), params).await
    }
}

/// Makes and finds contexts.
#[derive(Debug, Clone, Copy)]
pub struct Contexts<'a> {
    pub(crate) scope: &'a Scope,
}

impl<'a> Contexts<'a> {
    /// Makes a context. `language` is python or node; `None`: the sandbox type's own.
    pub async fn create(&self, name: &str, language: Option<&str>, options: ProgramOptions) -> Result<Context<'a>> {
        let language = self.scope.language(language.map(str::to_owned))?;
        let params = options.put_into(json!({"language": language, "context": name}));
        let info: ContextInfo = wire::decode(self.scope.call("context.create", params).await?)?;
        Ok(Context { scope: self.scope, name: name.to_owned(), language: info.language })
    }

    /// A context by its name. Asks nothing: one that is not there is made when it is used first.
    pub fn get(&self, name: &str, language: Option<&str>) -> Result<Context<'a>> {
        let language = self.scope.language(language.map(str::to_owned))?;
        Ok(Context { scope: self.scope, name: name.to_owned(), language })
    }

    /// All contexts of the sandbox.
    pub async fn list(&self) -> Result<Vec<ContextInfo>> {
        self.scope.call_for("context.list", json!({}), "contexts").await
    }
}
