//! Chat rooms: whoever joins a room is told what is said in it.
//!
//! A member is an actor too, on any node, with an inbox that the room fills by messages: it waits for nobody.
//!
//! A cluster of two nodes, in two terminals:
//!
//! ```sh
//! cargo run --bin chat_room -- up --data chat-1 --listen 127.0.0.1:7946 --http 127.0.0.1:8080
//! cargo run --bin chat_room -- up --data chat-2 --listen 127.0.0.1:7947 --http 127.0.0.1:8081 --seeds 127.0.0.1:7946
//! ```
//!
//! and a conversation in a third:
//!
//! ```sh
//! cargo run --bin chat_room -- call room/lobby join ann
//! cargo run --bin chat_room -- call room/lobby join bob --node 127.0.0.1:8081
//! cargo run --bin chat_room -- call room/lobby say ann "hello, bob"
//! cargo run --bin chat_room -- call member/bob inbox --node 127.0.0.1:8081
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::process::ExitCode;

use gritmesh::{Context, actor, handlers};
use serde::{Deserialize, Serialize};

const LINES_MAX: usize = 100;
const MEMBERS_MAX: usize = 1000;

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    room: String,
    from: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum RoomError {
    #[error("{name} has not joined this room")]
    NotHere { name: String },
    #[error("{name} cannot join: {reason}")]
    Refused { name: String, reason: String },
}

#[actor(volatile)]
#[derive(Default)]
struct Room {
    members: BTreeSet<String>,
    lines: VecDeque<Line>,
}

#[handlers]
impl Room {
    /// Lets a member in, and answers with all who are here.
    fn join(&mut self, name: String, ctx: &mut Context<'_>) -> Result<Vec<String>, RoomError> {
        if let Err(error) = ctx.try_actor::<Member>(&name) {
            return Err(RoomError::Refused { name, reason: error.to_string() });
        }
        if self.members.len() >= MEMBERS_MAX {
            return Err(RoomError::Refused { name, reason: "the room is full".into() });
        }
        self.members.insert(name);
        Ok(self.members.iter().cloned().collect())
    }

    fn leave(&mut self, name: String) {
        self.members.remove(&name);
    }

    /// Tells everyone else, and answers with how many that are.
    async fn say(&mut self, from: String, text: String, ctx: &mut Context<'_>) -> Result<usize, RoomError> {
        if !self.members.contains(&from) {
            return Err(RoomError::NotHere { name: from });
        }
        let line = Line { room: ctx.address().id().to_owned(), from, text };
        let mut told = 0;
        for name in self.members.iter().filter(|name| **name != line.from) {
            // A message, not a call: the room does not wait.
            told += usize::from(ctx.actor::<Member>(name).notify(line.clone()).send().await.is_ok());
        }
        remember(&mut self.lines, line);
        Ok(told)
    }

    #[query]
    fn history(&self) -> Vec<Line> {
        self.lines.iter().cloned().collect()
    }
}

#[actor(volatile)]
#[derive(Default)]
struct Member {
    inbox: VecDeque<Line>,
}

#[handlers]
impl Member {
    fn notify(&mut self, line: Line) {
        remember(&mut self.inbox, line);
    }

    /// What was said since the last time, which empties the inbox.
    fn inbox(&mut self) -> Vec<Line> {
        self.inbox.drain(..).collect()
    }
}

fn remember(lines: &mut VecDeque<Line>, line: Line) {
    if lines.len() == LINES_MAX {
        lines.pop_front();
    }
    lines.push_back(line);
}

fn main() -> ExitCode {
    gritmesh::main(|node| node.register::<Room>().register::<Member>())
}
