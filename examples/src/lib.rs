//! Two applications on Gritmesh, each one file: `chat_room` and `leaderboard`.
//!
//! Both are programs with actors of their own and the usual command line (`up`, `dev`, `call`, …). They use one crate,
//! `gritmesh`, and nothing of what is below it. There is nothing in this library.
