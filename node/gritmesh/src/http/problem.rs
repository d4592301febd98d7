//! Refusals: one JSON document for all of them, with a code that never changes.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use gritmesh_actor::codec;
use gritmesh_runtime::{AddressError, Failure, FailureCode};
use serde_json::{Map, Value, json};

/// How long to wait before trying again where nobody knows better.
const RETRY_AFTER_MS_DEFAULT: u32 = 1000;

/// How a client that has no token is told to send one.
const CHALLENGE: &str = "Bearer realm=\"gritmesh\"";

/// What HTTP itself refuses, beside the failures of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpCode {
    NotFound,
    MethodNotAllowed,
    PayloadTooLarge,
    RequestTimeout,
    BadRequest,
    NotSupported,
    BrokenHistory,
    NoLeader,
    UnknownNode,
    NodeDown,
    OtherNode,
    LastNode,
    NodeAlive,
    Unauthorized,
    Forbidden,
    Misdirected,
    UnsupportedMediaType,
    Busy,
    Internal,
}

impl HttpCode {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 19] = [
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::PayloadTooLarge,
        Self::RequestTimeout,
        Self::BadRequest,
        Self::NotSupported,
        Self::BrokenHistory,
        Self::NoLeader,
        Self::UnknownNode,
        Self::NodeDown,
        Self::OtherNode,
        Self::LastNode,
        Self::NodeAlive,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Misdirected,
        Self::UnsupportedMediaType,
        Self::Busy,
        Self::Internal,
    ];

    /// Whether the same request may succeed later and surely had no effect.
    pub(crate) const fn retryable(self) -> bool {
        matches!(self, Self::NoLeader | Self::NodeDown | Self::Busy | Self::RequestTimeout)
    }

    pub(super) const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Nothing is there"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "Not with this method")
            }
            Self::PayloadTooLarge => {
                ("payload_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::RequestTimeout => {
                ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The body came too slowly")
            }
            Self::BadRequest => ("bad_request", StatusCode::BAD_REQUEST, "The request is malformed"),
            Self::NotSupported => ("not_supported", StatusCode::NOT_IMPLEMENTED, "Not supported"),
            Self::BrokenHistory => {
                ("broken_history", StatusCode::INTERNAL_SERVER_ERROR, "The history does not prove itself")
            }
            Self::NoLeader => {
                ("no_leader", StatusCode::SERVICE_UNAVAILABLE, "Nobody hosts the actor for now")
            }
            Self::UnknownNode => ("unknown_node", StatusCode::NOT_FOUND, "No member has that id"),
            Self::NodeDown => ("node_down", StatusCode::SERVICE_UNAVAILABLE, "The node is down or has left"),
            Self::OtherNode => ("other_node", StatusCode::CONFLICT, "Another node was reached"),
            Self::LastNode => ("last_node", StatusCode::CONFLICT, "No other node could take over"),
            Self::NodeAlive => ("node_alive", StatusCode::CONFLICT, "The node is there"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A token is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not from there"),
            Self::Misdirected => {
                ("misdirected", StatusCode::MISDIRECTED_REQUEST, "The node is not that host")
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON")
            }
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "The node has too many requests"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "A defect of the node"),
        }
    }
}

/// The status of a failed call, and its title.
pub(crate) const fn status_of(code: FailureCode) -> (StatusCode, &'static str) {
    match code {
        FailureCode::NotDelivered => (StatusCode::SERVICE_UNAVAILABLE, "The call did not reach the actor"),
        FailureCode::Unknown => (StatusCode::GATEWAY_TIMEOUT, "The outcome of the call is not known"),
        FailureCode::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "A queue on the way was full"),
        FailureCode::Deadlock => (StatusCode::CONFLICT, "The call would wait for itself"),
        FailureCode::UnknownType => (StatusCode::NOT_FOUND, "No node hosts this actor type"),
        FailureCode::UnknownMethod => (StatusCode::NOT_FOUND, "The actor has no such method"),
        FailureCode::BadArguments => (StatusCode::BAD_REQUEST, "The arguments do not fit"),
        FailureCode::BadAddress => (StatusCode::BAD_REQUEST, "This cannot be an actor's address"),
        FailureCode::ActivationFailed => {
            (StatusCode::INTERNAL_SERVER_ERROR, "The actor could not be brought into memory")
        }
        FailureCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The call or its answer is too large"),
        FailureCode::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "The actor panicked"),
        FailureCode::ActorError => (StatusCode::UNPROCESSABLE_ENTITY, "The actor refused"),
        FailureCode::BadAnswer => (StatusCode::INTERNAL_SERVER_ERROR, "The answer cannot be shown"),
        FailureCode::NoQuorum => (StatusCode::SERVICE_UNAVAILABLE, "No majority of replicas"),
        FailureCode::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "The disk is full"),
        FailureCode::Paused => (StatusCode::CONFLICT, "The actor is paused"),
        FailureCode::NoAnswer => (StatusCode::GATEWAY_TIMEOUT, "No answer to the query came"),
        FailureCode::Early => (StatusCode::CONFLICT, "An earlier message has not been read"),
    }
}

/// Whether the same call may succeed later and surely changed nothing.
pub(crate) const fn is_retryable(code: FailureCode) -> bool {
    let passes = matches!(
        code,
        FailureCode::NotDelivered
            | FailureCode::Overloaded
            | FailureCode::ActivationFailed
            | FailureCode::NoQuorum
            | FailureCode::DiskFull
            | FailureCode::NoAnswer
    );
    passes && code.surely_changed_nothing()
}

/// A refusal on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    retryable: bool,
    retry_after_ms: u32,
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(code: HttpCode, detail: impl Into<String>) -> Self {
        let (name, status, title) = code.row();
        Self {
            status,
            code: name,
            title,
            detail: detail.into(),
            retryable: code.retryable(),
            retry_after_ms: 0,
            more: Map::new(),
        }
    }

    #[cfg(test)]
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds a member to the document.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    fn document(&self) -> Value {
        let mut document = json!({
            "type": format!("urn:gritmesh:error:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "retryable": self.retryable,
        });
        let members = document.as_object_mut().expect("the document is an object");
        members.extend(self.more.clone());
        document
    }

    /// What the caller is told to wait, if trying again makes sense.
    fn retry_after_ms(&self) -> Option<u32> {
        self.retryable.then_some(match self.retry_after_ms {
            0 => RETRY_AFTER_MS_DEFAULT,
            known => known,
        })
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let Failure { code, detail, data, retry_after_ms } = failure;
        let (status, title) = status_of(code);
        let mut problem = Self {
            status,
            code: code.as_str(),
            title,
            detail,
            retryable: is_retryable(code),
            retry_after_ms,
            more: Map::new(),
        };
        if code == FailureCode::ActorError {
            // An error without a JSON form still has its text in `detail`.
            problem = problem.with("error", codec::to_json(&data).unwrap_or(Value::Null));
        }
        problem
    }
}

impl From<AddressError> for Problem {
    fn from(error: AddressError) -> Self {
        Failure::new(FailureCode::BadAddress, error.to_string()).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = self.document();
        let retry_after_ms = self.retry_after_ms();
        if let Some(ms) = retry_after_ms {
            document["retry_after_ms"] = ms.into();
        }
        let mut response = (self.status, document.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        if let Some(ms) = retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        response.extensions_mut().insert(Refused(self.code));
        response
    }
}

/// Marks a response with the code of its problem, for counting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused(pub(super) &'static str);
