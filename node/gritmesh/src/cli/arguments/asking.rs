//! Whom to ask, and how to show the answer: flags of every command that asks.

use std::time::Duration;

use clap::Args;

use super::confidential;
use crate::ask::{Ask, HandHeader, Target};
use crate::cli::output::{Failed, Format};
use crate::config::Confidential;

/// Longest wait for an answer about the cluster, as opposed to a call.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Asking {
    /// The node to ask, where it serves HTTP; any node of the cluster will do. Several (between commas, or by several
    /// flags) are tried in turn while one cannot be reached
    #[arg(
        long = "node",
        value_name = "HOST:PORT|URL",
        env = "GRITMESH_NODE",
        default_value = "127.0.0.1:8080",
        value_delimiter = ','
    )]
    nodes: Vec<Target>,
    /// The token, where the node or a proxy asks for one
    #[arg(long, value_name = "TEXT|@FILE", env = "GRITMESH_TOKEN", hide_env_values = true, value_parser = confidential)]
    token: Option<Confidential>,
    /// A header to send along, as a proxy may want; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<HandHeader>,
    /// How to print the result
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    pub(in crate::cli) format: Format,
}

impl Asking {
    pub(in crate::cli) fn ask(&self) -> Result<Ask, Failed> {
        self.ask_within(ASK_TIME_MAX)
    }

    pub(in crate::cli) fn ask_within(&self, timeout: Duration) -> Result<Ask, Failed> {
        let ask = Ask::among(self.nodes.clone(), timeout);
        let token = self.token.as_ref().map(|token| token.reveal()).transpose();
        let token = token.map_err(|error| Failed::Unusable(format!("cannot read the token: {error}")))?;
        let token = token.flatten();
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Failed::Unusable("the token holds a character that no token has".into()));
        }
        Ok(ask.with_headers(self.headers.clone()).with_token(token))
    }
}
