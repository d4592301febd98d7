//! One client: transfers, one after the other, between accounts that it picks at random.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::teller::Teller;
use crate::{Bank, note};

/// Largest amount of a transfer.
const AMOUNT_MAX: u64 = 100;

/// What came of the transfers of one client, or of several.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) transfers: u64,
    /// Refused for lack of money.
    pub(crate) refused: u64,
    pub(crate) retries: u64,
    /// Nobody knows whether they took place.
    pub(crate) given_up: u64,
    pub(crate) longest: Duration,
    /// By how much each account has changed, as the answers say.
    pub(crate) changes: Vec<i128>,
}

impl Tally {
    pub(crate) fn new(accounts: u32) -> Self {
        Self {
            transfers: 0,
            refused: 0,
            retries: 0,
            given_up: 0,
            longest: Duration::ZERO,
            changes: vec![0; accounts as usize],
        }
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.transfers += other.transfers;
        self.refused += other.refused;
        self.retries += other.retries;
        self.given_up += other.given_up;
        self.longest = self.longest.max(other.longest);
        for (mine, theirs) in self.changes.iter_mut().zip(other.changes) {
            *mine += theirs;
        }
        self
    }
}

/// A client of the bank.
pub(crate) struct Customer<'a> {
    bank: &'a Bank,
    number: u32,
    /// Makes keys of this client distinct from those of all other runs.
    session: u64,
    teller: Teller,
    random: u64,
}

impl<'a> Customer<'a> {
    pub(crate) fn new(bank: &'a Bank, number: u32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let session = since.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(40);
        let random = session ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { bank, number, session, teller: bank.teller(number as usize), random }
    }

    /// Transfers until the time is up. Whatever was begun is brought to its end.
    pub(crate) fn work(mut self, end: Instant) -> Result<Tally, String> {
        let mut tally = Tally::new(self.bank.arguments.accounts);
        for number in 0_u64.. {
            if Instant::now() >= end {
                break;
            }
            self.transfer(number, &mut tally);
        }
        Ok(tally)
    }

    fn transfer(&mut self, number: u64, tally: &mut Tally) {
        let accounts = u64::from(self.bank.arguments.accounts);
        let from = self.random() % accounts;
        let to = (from + 1 + self.random() % (accounts - 1)) % accounts;
        let amount = 1 + self.random() % AMOUNT_MAX;
        let id = |index: u64| self.bank.account(index as u32);
        let key = format!("{}/{:x}/{}/{number}", self.bank.name, self.session, self.number);
        let arguments = [id(to).into(), amount.into()];
        let answer = match self.teller.call(&id(from), "transfer", &arguments, Some(&key)) {
            Ok(answer) => answer,
            Err(reason) => {
                note(&format!("a transfer is given up: {reason}"));
                tally.given_up += 1;
                return;
            }
        };
        tally.retries += answer.retries;
        tally.longest = tally.longest.max(answer.took);
        if answer.result.is_ok() {
            tally.transfers += 1;
            tally.changes[from as usize] -= i128::from(amount);
            tally.changes[to as usize] += i128::from(amount);
        } else {
            tally.refused += 1;
        }
    }

    /// SplitMix64: who is paid what only has to be different every time.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
