//! Why the arguments of a call do not fit, in the words of whoever typed them: which argument, what it is, and what
//! it should be. Looked at only once they are known not to fit, so it may take its time.

use std::fmt::Write;
use std::vec;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::{Error, Value};

use super::{CodecError, to_json};

/// How much of a value is shown.
const SHOWN_CHARS_MAX: usize = 120;

/// `None` if they have no JSON form, or fit as such: then there is nothing better to say.
pub(super) fn explained<T: DeserializeOwned>(bytes: &[u8]) -> Option<CodecError> {
    let Ok(Value::Array(given)) = to_json(bytes) else { return None };
    let count = given.len();
    let mut reading = Reading { given: given.into_iter(), read: 0, wanted: None };
    let error = T::deserialize(&mut reading).err();
    let Reading { read, wanted, .. } = reading;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != count) {
        return Some(CodecError::new(format_args!(
            "the method takes {}, and {count} {} given",
            counted(wanted),
            if count == 1 { "was" } else { "were" },
        )));
    }
    Some(CodecError::new(format_args!("argument {read}: {}", words(&error?))))
}

fn counted(arguments: usize) -> String {
    match arguments {
        1 => "1 argument".to_owned(),
        more => format!("{more} arguments"),
    }
}

/// `invalid type: integer 5, expected a string` the other way round.
fn words(error: &Error) -> String {
    let text = error.to_string();
    let typed = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    let said = match typed.and_then(|typed| typed.rsplit_once(", expected ")) {
        Some((found, expected)) => {
            let expected = match expected {
                "a string" => "a text",
                other => other,
            };
            format!("{expected} is expected, not {}", found.replacen("string ", "the text ", 1))
        }
        None => text,
    };
    let mut short: String = said.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < said.len() {
        write!(short, "…").expect("writing to a string does not fail");
    }
    short
}

/// Arguments that are read one by one, so that it is known which of them does not fit.
struct Reading {
    given: vec::IntoIter<Value>,
    read: usize,
    wanted: Option<usize>,
}

impl<'de> Deserializer<'de> for &mut Reading {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.wanted = Some(len);
        visitor.visit_seq(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Reading {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(value) = self.given.next() else { return Ok(None) };
        self.read += 1;
        seed.deserialize(value).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{arguments_from_json, decode_arguments};
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    enum Colour {
        #[serde(rename = "red")]
        Red,
    }

    fn why<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        let bytes = arguments_from_json(json.as_bytes()).unwrap();
        decode_arguments::<T>(&bytes).unwrap_err().to_string()
    }

    #[test]
    fn the_argument_is_named_with_what_it_should_be() {
        type Transfer = (String, u64);
        for (json, says) in [
            ("[1002, 5]", "argument 1: a text is expected, not integer `1002`"),
            (r#"["bob", "5"]"#, "argument 2: u64 is expected, not the text \"5\""),
            (r#"["bob", -5]"#, "argument 2: u64 is expected, not integer `-5`"),
            (r#"["bob"]"#, "the method takes 2 arguments, and 1 was given"),
            (r#"["bob", 5, 6]"#, "the method takes 2 arguments, and 3 were given"),
            ("", "the method takes 2 arguments, and 0 were given"),
        ] {
            assert_eq!(why::<Transfer>(json), says, "{json}");
        }
        assert_eq!(why::<(u8,)>("300"), "argument 1: u8 is expected, not integer `300`");
        assert_eq!(why::<(bool,)>("null"), "argument 1: a boolean is expected, not null");
        assert!(why::<(Colour,)>(r#""blue""#).contains("unknown variant `blue`, expected `red`"));
        let red = decode_arguments::<(Colour,)>(&arguments_from_json(b"\"red\"").unwrap());
        assert_eq!(red, Ok((Colour::Red,)));
        let long = why::<(u8,)>(&format!("\"{}\"", "x".repeat(10_000)));
        assert!(long.len() < 200 && long.ends_with('…'), "{long}");
    }

    /// Bytes have no JSON form; then the argument is not named.
    #[test]
    fn what_has_no_json_form_is_refused_in_words_too() {
        let error = decode_arguments::<(String,)>(&[0x91, 0xc4, 1, 0xff]).unwrap_err().to_string();
        assert!(!error.contains("marker") && !error.is_empty(), "{error}");
        for bytes in [&[0x91, 0xd9][..], &[0x91, 0xa5, b'a'], &[0x92, 1], &[]] {
            let error = decode_arguments::<(u64,)>(bytes).unwrap_err().to_string();
            assert!(!error.contains("marker") && !error.contains("fill whole"), "{error}");
        }
    }
}
