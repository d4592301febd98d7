//! What nobody else may know, read from where it lies: the secrets of the cluster and the token of operators.

use std::net::SocketAddr;

use gritmesh_runtime::admission::Secrets;
use gritmesh_transport::listens_on_loopback;

use crate::config::{Confidential, Settings, check_secrets, lines};
use crate::start::StartError;

/// The secrets, of which each has its line.
pub(crate) fn read_secrets(settings: &Settings) -> Result<Vec<String>, StartError> {
    let mut secrets = Vec::new();
    for place in &settings.secret {
        let text = reveal("secret", place)?.unwrap_or_default();
        secrets.extend(lines(&text).map(str::to_owned));
    }
    check_secrets(secrets.iter().map(String::as_str))?;
    Ok(secrets)
}

/// The token, if it is one that a request can carry.
pub(crate) fn read_token(settings: &Settings) -> Result<Option<String>, StartError> {
    let token = reveal("token", &settings.token)?;
    match token.as_ref().is_none_or(|token| token.bytes().all(|byte| byte.is_ascii_graphic())) {
        true => Ok(token),
        false => Err(StartError::Token),
    }
}

fn reveal(setting: &'static str, text: &Confidential) -> Result<Option<String>, StartError> {
    let place = || text.redacted().trim_start_matches('@').to_owned();
    text.reveal().map_err(|source| StartError::Confidential { setting, place: place(), source })
}

/// Whoever can be reached from other machines asks them for a secret.
pub(crate) fn needs_secret(address: SocketAddr, has_secret: bool) -> Result<(), StartError> {
    match !has_secret && !listens_on_loopback(address) {
        true => Err(StartError::NoSecret { address }),
        false => Ok(()),
    }
}

/// The keys of secrets, which take long to make.
pub(crate) async fn stretched(secrets: Vec<String>) -> Secrets {
    let make = move || Secrets::from_texts(secrets.iter().map(String::as_str));
    tokio::task::spawn_blocking(make).await.expect("making keys does not panic, and nobody aborts it")
}

#[cfg(test)]
mod tests {
    use gritmesh_runtime::admission::SECRETS_MAX;

    use super::*;
    use crate::config::secret_lines;

    const OLD: &str = "the old secret of all";
    const NEW: &str = "the new secret of all";

    fn with(secret: Vec<Confidential>) -> Settings {
        Settings { secret, ..Settings::default() }
    }

    #[test]
    fn secrets_come_from_lines_of_texts_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        std::fs::write(&file, format!("{NEW}\r\n\n  {OLD}\n")).unwrap();
        let read = |text: &str| read_secrets(&with(secret_lines(text)));
        assert_eq!(read(&format!("@{}", file.display())).unwrap(), [NEW, OLD]);
        assert_eq!(read(&format!("{NEW}\n{OLD}")).unwrap(), [NEW, OLD]);
        assert_eq!(read("").unwrap(), [""; 0]);
        assert!(matches!(read("@no/such/file"), Err(StartError::Confidential { .. })));
    }

    #[test]
    fn a_secret_that_is_guessed_or_one_too_many_is_refused_without_being_shown() {
        let said = read_secrets(&with(secret_lines("hunter2"))).unwrap_err().to_string();
        assert!(
            said.contains("7 letters") && said.contains("16 letters") && !said.contains("hunter2"),
            "{said}"
        );
        let many = with(vec![Confidential::new(NEW); SECRETS_MAX + 1]);
        assert!(matches!(read_secrets(&many), Err(StartError::Range(_))));
    }
}
