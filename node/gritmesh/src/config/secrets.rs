//! The secrets of a cluster: one for each line, wherever the lines come from.

use std::fmt;

use gritmesh_runtime::admission::{SECRET_LETTERS_MAX, SECRET_LETTERS_MIN, SECRETS_MAX};
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::Confidential;
use super::range::{Counted, RangeError, within};

/// Each line of a text as a secret, or the name of a file that holds some.
pub(crate) fn secret_lines(text: &str) -> Vec<Confidential> {
    lines(text).map(Confidential::new).collect()
}

/// The lines of a text that say something.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Reads secrets: a TOML array, or a text with one on each line.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Confidential>, D::Error> {
    deserializer.deserialize_any(List)
}

/// Whether secrets can be used. What is wrong with one is told by its length.
pub(crate) fn check_secrets<'a>(secrets: impl Iterator<Item = &'a str>) -> Result<(), RangeError> {
    let mut count = 0;
    for secret in secrets {
        let letters = |number| Counted(number, "letters");
        let length = letters(secret.chars().count());
        within("secret", length, letters(SECRET_LETTERS_MIN), letters(SECRET_LETTERS_MAX))?;
        count += 1;
    }
    let secrets = |number| Counted(number, "secrets");
    within("secret", secrets(count), secrets(0), secrets(SECRETS_MAX))
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<Confidential>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text with one secret on each line, or a list of such texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(secret_lines(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(secret_lines(&value.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(secret_lines(&number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(secret_lines(&number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(secret_lines(&number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut secrets = Vec::new();
        while let Some(item) = items.next_element::<String>()? {
            secrets.extend(secret_lines(&item));
        }
        Ok(secrets)
    }
}
