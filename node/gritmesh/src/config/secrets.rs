//! The secrets of a cluster: one for each line, wherever the lines come from.

use std::fmt;
use std::io;

use gritmesh_runtime::admission::{SECRET_LETTERS_MAX, SECRET_LETTERS_MIN, SECRETS_MAX};
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::range::{RangeError, within};
use super::{Confidential, Settings};

/// Each line of a text as a secret, or the name of a file that holds some.
pub(crate) fn secret_lines(text: &str) -> Vec<Confidential> {
    lines(text).map(Confidential::new).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// Reads secrets: a TOML array, or a text with one on each line.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Confidential>, D::Error> {
    deserializer.deserialize_any(List)
}

/// Why there are no secrets.
#[derive(Debug)]
pub(crate) enum SecretsError {
    /// A file cannot be read.
    Read {
        /// Which.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// One is too short or too long, or there are too many.
    Range(RangeError),
}

/// The secrets themselves, read from their files.
pub(crate) fn read_secrets(settings: &Settings) -> Result<Vec<String>, SecretsError> {
    let mut secrets = Vec::new();
    for place in &settings.secret {
        let name = || place.redacted().trim_start_matches('@').to_owned();
        let text = place.reveal().map_err(|source| SecretsError::Read { place: name(), source })?;
        let text = text.unwrap_or_default();
        secrets.extend(lines(&text).map(str::to_owned));
    }
    check_secrets(secrets.iter().map(String::as_str)).map_err(SecretsError::Range)?;
    Ok(secrets)
}

/// Whether secrets can be used.
pub(super) fn check_secrets<'a>(secrets: impl Iterator<Item = &'a str>) -> Result<(), RangeError> {
    let mut count = 0;
    for secret in secrets {
        let letters = Letters(secret.chars().count());
        within("secret", letters, Letters(SECRET_LETTERS_MIN), Letters(SECRET_LETTERS_MAX))?;
        count += 1;
    }
    within("secret", Count(count), Count(0), Count(SECRETS_MAX))
}

/// The length of a secret. The secret itself is never shown.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Letters(usize);

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} letters", self.0)
    }
}

/// How many secrets there are.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the old secret of all";
    const NEW: &str = "the new secret of all";

    #[test]
    fn secrets_come_from_lines_of_texts_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        std::fs::write(&file, format!("{NEW}\r\n\n  {OLD}\n")).unwrap();
        let read = |text: &str| read_secrets(&Settings { secret: secret_lines(text), ..Settings::default() });
        assert_eq!(read(&format!("@{}", file.display())).unwrap(), [NEW, OLD]);
        assert_eq!(read(&format!("{NEW}\n{OLD}")).unwrap(), [NEW, OLD]);
        assert_eq!(read("").unwrap(), [""; 0]);
        assert!(matches!(read("@no/such/file"), Err(SecretsError::Read { .. })));
    }

    #[test]
    fn a_secret_that_is_guessed_or_one_too_many_is_refused_without_being_shown() {
        let settings = Settings { secret: secret_lines("hunter2"), ..Settings::default() };
        let Err(SecretsError::Range(error)) = read_secrets(&settings) else { panic!("it is too short") };
        let said = error.to_string();
        assert!(
            said.contains("7 letters") && said.contains("16 letters") && !said.contains("hunter2"),
            "{said}"
        );
        let many = Settings { secret: vec![Confidential::new(NEW); SECRETS_MAX + 1], ..Settings::default() };
        assert!(matches!(read_secrets(&many), Err(SecretsError::Range(_))));
    }
}
