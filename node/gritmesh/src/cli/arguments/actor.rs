//! What can be typed about actors.

use clap::{Args, Subcommand};
use gritmesh_runtime::{ActorAddress, DEFAULT_TENANT};

use super::Asking;
use crate::cli::output::{Failed, Format};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ActorVerb {
    /// List actors in memory on the node that is asked, or on all
    #[command(
        after_help = "Examples:\n  gritmesh actor ls\n  gritmesh actor ls --type counter --all --limit 1000"
    )]
    Ls(ActorArguments),
    /// Show the steps of a durable actor, newest first
    #[command(
        after_help = "Examples:\n  gritmesh actor log counter/alice\n  gritmesh actor log account/alice --limit 5 --from 120\n  gritmesh actor log account/alice -o json"
    )]
    Log(LogArguments),
    /// Show the state of a durable actor after a step
    #[command(
        after_help = "Examples:\n  gritmesh actor show counter/alice\n  gritmesh actor show account/alice --step 120\n  gritmesh actor show account/alice --step 3f9a12c4d0b7"
    )]
    Show(ShowArguments),
    /// Prove the history of a durable actor: every step, every object, every hash
    #[command(
        after_help = "Examples:\n  gritmesh actor verify counter/alice\n  gritmesh actor verify counter/alice --limit 1000"
    )]
    Verify(VerifyArguments),
    /// Let a durable actor do nothing any more; what is sent to it waits
    #[command(
        after_help = "Examples:\n  gritmesh actor pause account/alice\n  gritmesh actor pause account/alice \"the books are being checked\""
    )]
    Pause(PauseArguments),
    /// Let an actor go on that was paused
    #[command(after_help = "Examples:\n  gritmesh actor resume account/alice")]
    Resume(SubjectArguments),
    /// Messages that an actor could not read
    #[command(
        subcommand,
        after_help = "Examples:\n  gritmesh actor letters ls account/bob\n  gritmesh actor letters replay account/bob account/alice 7"
    )]
    Letters(LettersVerb),
    /// Show the messages of an actor that their receivers have not read yet
    #[command(after_help = "Examples:\n  gritmesh actor outbox account/alice")]
    Outbox(SubjectArguments),
}

impl ActorVerb {
    pub(in crate::cli) const fn format(&self) -> Format {
        match self {
            Self::Ls(arguments) => arguments.asking.format,
            Self::Log(arguments) => arguments.subject.asking.format,
            Self::Show(arguments) => arguments.subject.asking.format,
            Self::Verify(arguments) => arguments.subject.asking.format,
            Self::Pause(arguments) => arguments.subject.asking.format,
            Self::Letters(LettersVerb::Ls(arguments)) | Self::Outbox(arguments) | Self::Resume(arguments) => {
                arguments.asking.format
            }
            Self::Letters(LettersVerb::Replay(arguments) | LettersVerb::Drop(arguments)) => {
                arguments.subject.asking.format
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum LettersVerb {
    /// List them
    #[command(after_help = "Examples:\n  gritmesh actor letters ls account/bob")]
    Ls(SubjectArguments),
    /// Run one that the actor can read by now
    #[command(after_help = "Examples:\n  gritmesh actor letters replay account/bob account/alice 7")]
    Replay(LetterArguments),
    /// Give one up
    #[command(after_help = "Examples:\n  gritmesh actor letters drop account/bob account/alice 7")]
    Drop(LetterArguments),
}

/// The actor that a command is about.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Subject {
    /// The actor: `type/id`, or `tenant:type/id`
    #[arg(value_name = "ACTOR")]
    address: ActorAddress,
    /// The actor's tenant, if it does not stand before its type
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

impl Subject {
    /// Its address, in the tenant that was named.
    pub(in crate::cli) fn address(&self) -> Result<ActorAddress, Failed> {
        let (address, Some(tenant)) = (&self.address, &self.tenant) else { return Ok(self.address.clone()) };
        if ![DEFAULT_TENANT, tenant].contains(&address.tenant()) {
            let reason = format!("`{address}` names its tenant; `--tenant {tenant}` names another");
            return Err(Failed::Unusable(reason));
        }
        let address = ActorAddress::in_tenant(tenant, address.actor_type(), address.id());
        address.map_err(|error| Failed::Unusable(error.to_string()))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SubjectArguments {
    #[command(flatten)]
    pub(in crate::cli) subject: Subject,
    #[command(flatten)]
    pub(in crate::cli) asking: Asking,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LogArguments {
    #[command(flatten)]
    pub(in crate::cli) subject: SubjectArguments,
    /// How many steps to show at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(in crate::cli) limit: usize,
    /// Begin with this step: its number, or the beginning of its id
    #[arg(long, value_name = "STEP")]
    pub(in crate::cli) from: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    #[command(flatten)]
    pub(in crate::cli) subject: SubjectArguments,
    /// The step: its number, or the beginning of its id [default: the newest]
    #[arg(long, value_name = "STEP")]
    pub(in crate::cli) step: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArguments {
    #[command(flatten)]
    pub(in crate::cli) subject: SubjectArguments,
    /// Check this many steps, the newest ones [default: all]
    #[arg(long, value_name = "N")]
    pub(in crate::cli) limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PauseArguments {
    #[command(flatten)]
    pub(in crate::cli) subject: SubjectArguments,
    /// Why; every caller is told
    pub(in crate::cli) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LetterArguments {
    #[command(flatten)]
    pub(in crate::cli) subject: SubjectArguments,
    /// Who sent the message
    pub(in crate::cli) sender: String,
    /// Its number among those from there
    pub(in crate::cli) sequence: u64,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ActorArguments {
    /// Only actors of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(in crate::cli) actor_type: Option<String>,
    /// Ask all nodes
    #[arg(long)]
    pub(in crate::cli) all: bool,
    /// How many to list at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(in crate::cli) limit: usize,
    #[command(flatten)]
    pub(in crate::cli) asking: Asking,
}
