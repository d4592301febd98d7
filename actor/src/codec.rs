//! Values of applications as bytes: MessagePack, arguments as an array, structs as maps with field names.
//!
//! Field names cost some bytes, but a field that is added later does not break what an older build wrote, and
//! any value can be shown as JSON.

mod misfit;
mod numbers;

use rmp_serde::decode::Error as ReadError;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use numbers::read_json;

/// A value that cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CodecError {
    reason: String,
}

impl CodecError {
    pub(crate) fn new(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

impl serde::ser::Error for CodecError {
    fn custom<T: std::fmt::Display>(reason: T) -> Self {
        Self::new(reason)
    }
}

impl serde::de::Error for CodecError {
    fn custom<T: std::fmt::Display>(reason: T) -> Self {
        Self::new(reason)
    }
}

/// Deepest nesting of a value. Deeper input is refused before it can exhaust the stack.
const DEPTH_MAX: usize = 128;

/// An empty MessagePack array: the arguments of a method that has none.
const NO_ARGUMENTS: u8 = 0x90;
const NIL: u8 = 0xc0;

/// Writes a value.
///
/// # Errors
/// If the value cannot be represented.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(64);
    rmp_serde::encode::write_named(&mut bytes, value).map_err(CodecError::new)?;
    Ok(bytes)
}

/// Reads a value; every byte must be used.
///
/// # Errors
/// If the bytes are not such a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = rmp_serde::Deserializer::new(bytes);
    reader.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut reader).map_err(|error| CodecError::new(words(&error)))?;
    match reader.get_ref().is_empty() {
        true => Ok(value),
        false => Err(CodecError::new("bytes are left over after the value")),
    }
}

/// Reads the arguments of a method; every byte must be used.
///
/// # Errors
/// If they are not those of the method; says which of them does not fit.
pub fn decode_arguments<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode(bytes).map_err(|error| misfit::explained::<T>(bytes).unwrap_or(error))
}

/// What is wrong, without the words of the encoding.
fn words(error: &ReadError) -> String {
    match error {
        ReadError::InvalidMarkerRead(_) | ReadError::InvalidDataRead(_) => {
            "the bytes end before the value does".to_owned()
        }
        ReadError::TypeMismatch(_) => "the value is of another type than is expected".to_owned(),
        ReadError::OutOfRange => "a number is out of range".to_owned(),
        ReadError::LengthMismatch(length) => format!("a list of {length} is expected"),
        ReadError::Utf8Error(_) => "a text is not UTF-8".to_owned(),
        ReadError::DepthLimitExceeded => "the value is nested too deeply".to_owned(),
        ReadError::Syntax(said) | ReadError::Uncategorized(said) => said.clone(),
    }
}

/// The arguments of a method without parameters.
pub fn encode_no_arguments() -> Vec<u8> {
    vec![NO_ARGUMENTS]
}

/// Checks that there are no arguments.
///
/// # Errors
/// If there are some.
pub fn decode_no_arguments(bytes: &[u8]) -> Result<(), CodecError> {
    match bytes {
        [] | [NO_ARGUMENTS | NIL] => Ok(()),
        _ => Err(CodecError::new("the method takes no arguments")),
    }
}

/// Turns JSON arguments into a MessagePack array: an array is taken as it is, anything else is the single
/// argument, and nothing at all is no argument.
///
/// # Errors
/// If the text is not JSON.
pub fn arguments_from_json(json: &[u8]) -> Result<Vec<u8>, CodecError> {
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(encode_no_arguments());
    }
    match read_json(json)? {
        serde_json::Value::Array(arguments) => encode(&arguments),
        single => encode(&[single]),
    }
}

/// Shows any MessagePack value as JSON.
///
/// # Errors
/// If the value has no JSON form, as a map whose keys are not texts.
pub fn to_json(bytes: &[u8]) -> Result<serde_json::Value, CodecError> {
    decode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        name: String,
        #[serde(default)]
        size: u32,
    }

    #[test]
    fn a_new_field_reads_old_bytes() {
        let bytes = encode(&Old { name: "x".into() }).unwrap();
        assert_eq!(decode::<New>(&bytes).unwrap(), New { name: "x".into(), size: 0 });
        let bytes = encode(&New { name: "x".into(), size: 2 }).unwrap();
        assert_eq!(decode::<Old>(&bytes).unwrap(), Old { name: "x".into() });
    }

    #[test]
    fn json_arguments_take_both_forms() {
        let read = |json: &str| decode::<(u64,)>(&arguments_from_json(json.as_bytes()).unwrap());
        assert_eq!(read("[5]").unwrap(), (5,));
        assert_eq!(read("5").unwrap(), (5,));
        assert!(read("[5, 6]").is_err());
        assert!(read("\"five\"").is_err());
        assert!(arguments_from_json(b"{").is_err());
        assert!(decode_no_arguments(&arguments_from_json(b" ").unwrap()).is_ok());
        assert!(decode_no_arguments(&arguments_from_json(b"[1]").unwrap()).is_err());
    }

    #[test]
    fn left_over_bytes_and_deep_nesting_are_refused() {
        let mut bytes = encode(&(1u8,)).unwrap();
        bytes.push(0);
        assert!(decode::<(u8,)>(&bytes).is_err());
        let deep = vec![0x91; 100_000];
        assert!(to_json(&deep).is_err());
    }
}
