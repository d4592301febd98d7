//! Where settings come from, and in which order.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::services::is_of_service;
use super::{LogFormat, RangeError, Settings};

/// What stands before every variable of the environment that is a setting.
const PREFIX: &str = "GRITMESH_";
/// Variables with that prefix that belong to the command line, not to a node.
const NOT_SETTINGS: [&str; 2] = ["GRITMESH_CONFIG", "GRITMESH_NODE"];

/// The layers above the defaults, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    ignored: Vec<String>,
    flags: Vec<(String, String)>,
}

impl Layers {
    /// The defaults alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// A TOML file.
    #[must_use]
    pub fn file(mut self, path: Option<&Path>) -> Self {
        self.file = path.map(Path::to_owned);
        self
    }

    /// Variables of the environment: `GRITMESH_TIMEOUTS__CALL=5s` sets `call` in `[timeouts]`. Others are ignored, and
    /// so are those by which an orchestrator tells where a service called `gritmesh` is.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok()?;
            let is_setting = name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name.as_str());
            is_setting.then(|| (name, value.to_string_lossy().into_owned()))
        };
        let ours = variables.into_iter().filter_map(text);
        let (ignored, settings): (Vec<_>, Vec<_>) =
            ours.partition(|(name, value)| is_of_service(name, value));
        self.ignored = ignored.into_iter().map(|(name, _)| name).collect();
        self.ignored.sort();
        self.environment = settings;
        self.environment.sort();
        self
    }

    /// Variables that begin as settings do and are none: an orchestrator made them of the name of a service.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// How log lines look, as far as that can be told when other settings are wrong: by then somebody may be reading
    /// along.
    pub fn log_format(&self) -> LogFormat {
        const KEY: &str = "log_format";
        let is_named = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).eq_ignore_ascii_case(KEY);
        let given = self.environment.iter().chain(&self.flags).filter(|(name, _)| is_named(name));
        let given = given.filter_map(|(_, value)| value.parse().ok()).next_back();
        let in_file = || {
            let text = std::fs::read_to_string(self.file.as_ref()?).ok()?;
            Figment::from(Toml::string(&text)).extract_inner::<String>(KEY).ok()?.parse().ok()
        };
        given.or_else(in_file).unwrap_or(LogFormat::Pretty)
    }

    /// A flag: its key, as in the file, and its value.
    #[must_use]
    pub fn flag(mut self, key: &str, value: Option<impl ToString>) -> Self {
        self.flags.extend(value.map(|value| (key.to_owned(), value.to_string())));
        self
    }

    /// The settings that result.
    ///
    /// # Errors
    /// If the file cannot be read, a key is unknown, or a value does not fit or is out of range.
    pub fn load(self) -> Result<Settings, ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            let layer = Named { name: format!("file {}", path.display()), inner: Toml::string(&text) };
            figment = figment.merge(layer);
        }
        for (name, value) in self.environment {
            let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            figment = figment.merge(One { name: format!("environment variable {name}"), key, value });
        }
        for (key, value) in self.flags {
            figment = figment.merge(One { name: format!("flag --{}", key.replace('_', "-")), key, value });
        }
        let settings: Settings = figment.extract().map_err(|error| ConfigError::bad(&figment, error))?;
        match settings.check() {
            Ok(()) => Ok(settings),
            Err(error) => {
                let place = figment.find_metadata(error.key()).map(|metadata| metadata.name.to_string());
                Err(ConfigError::Range { place: place.unwrap_or_else(|| UNPLACED.into()), error })
            }
        }
    }
}

/// A place that is not known.
const UNPLACED: &str = "configuration";

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key or a value is wrong.
    #[error("{place}: {reason}")]
    Bad {
        /// The layer that it stands in.
        place: String,
        /// What is wrong, with the key.
        reason: String,
    },
    /// A value is out of the range of its setting, or a name cannot be printed.
    #[error("{place}: {error}")]
    Range {
        /// The layer that it stands in.
        place: String,
        /// Which one, and what it may be.
        error: RangeError,
    },
}

impl ConfigError {
    fn bad(figment: &Figment, error: figment::Error) -> Self {
        let mut path = error.path.clone();
        let what = match &error.kind {
            Kind::UnknownField(name, expected) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                format!("no such setting; there are {}", expected.join(", "))
            }
            Kind::InvalidType(found, expected) => format!("expected {expected}, not {found}"),
            other => one_line(&other.to_string()),
        };
        let key = path.join(".");
        let by_key = || figment.find_metadata(&key).map(|metadata| metadata.name.to_string());
        let by_error = || error.metadata.as_ref().map(|metadata| metadata.name.to_string());
        let place = by_key().or_else(by_error).unwrap_or_else(|| UNPLACED.into());
        let reason = if key.is_empty() { what } else { format!("`{key}`: {what}") };
        Self::Bad { place, reason }
    }
}

/// A parser's picture of the mistake, without the picture.
fn one_line(text: &str) -> String {
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|'));
    said.collect::<Vec<_>>().join(": ")
}

/// A layer under a name of ours.
struct Named<P> {
    name: String,
    inner: P,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.inner.data()
    }
}

/// One setting given as a text.
struct One {
    name: String,
    key: String,
    value: String,
}

impl Provider for One {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(&self.key, Value::from(self.value.clone()));
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}
