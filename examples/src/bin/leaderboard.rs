//! Leaderboards of games: submit a score, see the best, find your rank.
//!
//! Each game is one actor, so a board has one truth, and a thousand games spread over all nodes by themselves.
//!
//! A cluster of two nodes, in two terminals:
//!
//! ```sh
//! cargo run --bin leaderboard -- up --data board-1 --listen 127.0.0.1:7946 --http 127.0.0.1:8080
//! cargo run --bin leaderboard -- up --data board-2 --listen 127.0.0.1:7947 --http 127.0.0.1:8081 --seeds 127.0.0.1:7946
//! ```
//!
//! and some games in a third, through both of them:
//!
//! ```sh
//! cargo run --bin leaderboard -- call leaderboard/tetris submit ann 1200
//! cargo run --bin leaderboard -- call leaderboard/tetris submit bob 900 --node 127.0.0.1:8081
//! cargo run --bin leaderboard -- call leaderboard/tetris top 10
//! curl http://127.0.0.1:8080/v1/call/leaderboard/tetris/rank -H 'content-type: application/json' -d '"bob"'
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use gritmesh::{actor, handlers};
use serde::{Deserialize, Serialize};

/// Players on one board. One more has to beat the last of them.
const PLAYERS_MAX: usize = 100_000;
/// Longest list that is answered.
const TOP_MAX: usize = 1000;

/// A player's place: 1 is the best.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    rank: usize,
    player: String,
    score: u64,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum BoardError {
    #[error("{player} has no score on this board")]
    NotListed { player: String },
}

#[actor(volatile, idle_after = "1h")]
#[derive(Default)]
struct Leaderboard {
    best: BTreeMap<String, u64>,
    /// The same, best first; equal scores by name.
    order: BTreeSet<(Reverse<u64>, String)>,
}

#[handlers]
impl Leaderboard {
    /// Enters a score if it is the player's best, and answers with the player's place.
    fn submit(&mut self, player: String, score: u64) -> Result<Place, BoardError> {
        let before = self.best.get(&player).copied();
        if before.is_none_or(|before| score > before) {
            if let Some(before) = before {
                self.order.remove(&(Reverse(before), player.clone()));
            }
            self.best.insert(player.clone(), score);
            self.order.insert((Reverse(score), player.clone()));
            self.drop_last();
        }
        self.rank(player)
    }

    /// The best `n`.
    #[query]
    fn top(&self, n: usize) -> Vec<Place> {
        let ranked = self.order.iter().take(n.min(TOP_MAX)).enumerate();
        ranked
            .map(|(at, (score, player))| Place { rank: at + 1, player: player.clone(), score: score.0 })
            .collect()
    }

    /// The place of one player.
    #[query]
    fn rank(&self, player: String) -> Result<Place, BoardError> {
        let Some(score) = self.best.get(&player).copied() else {
            return Err(BoardError::NotListed { player });
        };
        let key = (Reverse(score), player);
        let rank = self.order.range(..&key).count() + 1;
        Ok(Place { rank, player: key.1, score })
    }
}

impl Leaderboard {
    /// Keeps the board within its limit.
    fn drop_last(&mut self) {
        if self.order.len() > PLAYERS_MAX
            && let Some((_, player)) = self.order.pop_last()
        {
            self.best.remove(&player);
        }
    }
}

fn main() -> ExitCode {
    gritmesh::main(|node| node.register::<Leaderboard>())
}
