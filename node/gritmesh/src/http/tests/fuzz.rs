//! Whatever comes as arguments, the node answers in one of the documented ways and goes on.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::{Answer, Started, start_ready};
use crate::FailureCode;

/// Codes with which a call may end that reached its actor in a healthy node.
fn is_documented(answer: &Answer) -> bool {
    let known = |code: &FailureCode| code.as_str() == answer.code();
    let (status, _) = answer.problem();
    match status {
        400..500 => true,
        _ => FailureCode::ALL.iter().any(known),
    }
}

fn check(node: &Started, path: &str, body: &[u8]) -> Result<(), TestCaseError> {
    let answer = node.request("POST", path, &[], body);
    prop_assert!(matches!(answer.status, 200 | 202) || is_documented(&answer), "{path}: {answer:?}");
    prop_assert_ne!(answer.code(), "internal");
    Ok(())
}

/// Texts that look like JSON, and often are.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "1",
        "-",
        "\"a\"",
        "\"",
        "\\u0000",
        "\\ud800",
        "null",
        "true",
        "1e999",
        " ",
        "18446744073709551616",
        "-9223372036854775808",
        "0.1",
        "\u{feff}",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_breaks_a_node() {
    let node = start_ready().await;
    let bodies = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), json_like()];
    let path = prop::sample::select(vec![
        "/v1/call/counter/x/add",
        "/v1/call/counter/x/get",
        "/v1/call/echo/x/echo",
        "/v1/call/account/x/transfer",
        "/v1/send/counter/y/add",
    ]);
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    runner.run(&(path, bodies), |(path, body)| check(&node, path, &body)).unwrap();
    assert_eq!(node.post("/v1/call/echo/x/echo", "\"still here\"").value, json!("still here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_breaks_a_node() {
    let node = start_ready().await;
    // What a request line may hold at all; anything else is refused before it is a path.
    let path =
        prop::string::string_regex("/v1/(call|send|where|actors)/[!-~]{0,30}(/[!-~]{0,30}){0,2}").unwrap();
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&path, |path| {
        let answer = node.request("POST", &path, &[], b"[1]");
        // Hyper refuses what is no path by itself, without a document.
        let silent = answer.status == 400 && answer.kind.is_empty();
        prop_assert!(
            silent || matches!(answer.status, 200 | 202) || is_documented(&answer),
            "{path}: {answer:?}"
        );
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(node.post("/v1/call/echo/x/echo", "1").value, json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_is_refused_or_answered() {
    let node = start_ready().await;
    for depth in [1, 60, 120, 126, 127, 128, 129, 10_000, 500_000] {
        let body = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        check(&node, "/v1/call/echo/x/echo", body.as_bytes()).unwrap();
    }
    assert_eq!(node.post("/v1/call/echo/x/echo", "1").value, json!(1));
}
