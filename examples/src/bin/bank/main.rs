//! A bank whose books must balance: random transfers between durable accounts, whatever happens to the nodes.
//!
//! The accounts are the `account` actors that the stock binary hosts too, so `bank run` works against any cluster of
//! it. A transfer takes from one account and sends to another in one step. Each has a key of its own, by which it is
//! asked for again, through the next node, until an answer comes: whatever dies meanwhile, it takes place once.
//!
//! A cluster of two nodes, in two terminals:
//!
//! ```sh
//! cargo run --bin bank -- up --data bank-1 --listen 127.0.0.1:7946 --http 127.0.0.1:8080
//! cargo run --bin bank -- up --data bank-2 --listen 127.0.0.1:7947 --http 127.0.0.1:8081 --seeds 127.0.0.1:7946
//! ```
//!
//! and its customers in a third. Kill nodes and start them again while this runs, any of them, all of them:
//!
//! ```sh
//! cargo run --bin bank -- run --nodes 127.0.0.1:8080,127.0.0.1:8081 --accounts 20 --seconds 2 --clients 4
//! ```

mod audit;
mod customer;
mod teller;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use gritmesh::cli::{App, Extra};

use customer::{Customer, Tally};
use teller::Teller;

/// What every account begins with. Enough for most transfers, and little enough that some are refused.
const DEPOSIT: u64 = 1000;

/// Deposits money, transfers it at random through all nodes, and checks that none was lost or made.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Ends with 0 if the books balance, with 1 if they do not, or if the cluster answers nothing for too long.

Examples:
  bank run --nodes 127.0.0.1:8080
  bank run --nodes 127.0.0.1:8080,127.0.0.1:8081 --accounts 1000 --seconds 60 --clients 32")]
struct Arguments {
    /// Where the nodes serve HTTP
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', required = true)]
    nodes: Vec<String>,
    /// How many accounts
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    accounts: u32,
    /// How long to transfer
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// How many transfer at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    clients: u32,
    /// How long to ask for one answer before giving up
    #[arg(long, value_name = "S", default_value_t = 60)]
    patience: u64,
    /// What the accounts' ids begin with; a bank of the same name goes on with the same accounts [default: new ones]
    #[arg(long)]
    name: Option<String>,
}

fn main() -> ExitCode {
    let run = Extra { command: Arguments::augment_args(Command::new("run")), run: |matches| run(matches) };
    App::new(gritmesh::samples::register).with(run).run(std::env::args_os())
}

fn run(matches: &ArgMatches) -> ExitCode {
    let arguments = match Arguments::from_arg_matches(matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match Bank::new(arguments).work() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            note(&format!("error: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// What all customers share.
#[derive(Clone, Debug)]
struct Bank {
    arguments: Arguments,
    /// Part of every id and every key of this run.
    name: String,
}

impl Bank {
    fn new(arguments: Arguments) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fresh = || format!("bank-{}-{}", since.as_millis(), std::process::id());
        let name = arguments.name.clone().unwrap_or_else(fresh);
        Self { arguments, name }
    }

    fn account(&self, index: u32) -> String {
        format!("{}-{index}", self.name)
    }

    fn teller(&self, first: usize) -> Teller {
        Teller::new(&self.arguments.nodes, first, Duration::from_secs(self.arguments.patience))
    }

    /// Whether the books balance in the end.
    fn work(&self) -> Result<bool, String> {
        let Arguments { accounts, seconds, clients, .. } = self.arguments;
        let before = self.open()?;
        note(&format!(
            "{accounts} accounts hold {}; {clients} clients transfer for {seconds} s",
            sum(&before)
        ));
        let begun = Instant::now();
        let end = begun + Duration::from_secs(seconds);
        let tallies: Result<Vec<Tally>, String> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..clients)
                .map(|number| scope.spawn(move || Customer::new(self, number).work(end)))
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().map_err(|_| "a client panicked".to_owned())?)
                .collect()
        });
        let (tally, took) = (tallies?.into_iter().fold(Tally::new(accounts), Tally::and), begun.elapsed());
        note("the time is up; waiting until nothing is under way");
        let books = audit::audit(self, &before, &tally)?;
        print(&format!(
            "transfers  {} in {:.1} s, {} refused for lack of money\nretries    {}, {} given up\nlongest    {:.2} s\ntotal      {} of {}",
            tally.transfers,
            took.as_secs_f64(),
            tally.refused,
            tally.retries,
            tally.given_up,
            tally.longest.as_secs_f64(),
            books.total,
            sum(&before),
        ));
        for wrong in &books.wrong {
            print(wrong);
        }
        print(if books.balance { "balanced" } else { "NOT balanced" });
        Ok(books.balance)
    }

    /// Deposits in every account, once however often this is run under one name, and tells what is in them then.
    fn open(&self) -> Result<Vec<u128>, String> {
        let mut teller = self.teller(0);
        (0..self.arguments.accounts)
            .map(|index| {
                let (id, key) = (self.account(index), format!("{}/deposit/{index}", self.name));
                match teller.call(&id, "deposit", &[DEPOSIT.into()], Some(&key))?.result {
                    Ok(_) => audit::worth(&mut teller, &id),
                    Err(refused) => Err(format!("{id} takes no deposit: {refused}")),
                }
            })
            .collect()
    }
}

fn sum(balances: &[u128]) -> u128 {
    balances.iter().sum()
}

/// Part of the result. Whoever closed the other end does not want the rest.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Beside the result.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
