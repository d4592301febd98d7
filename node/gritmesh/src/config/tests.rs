use super::*;
use crate::confidential::read_secrets;

fn toml(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn each_layer_stands_above_the_one_before() {
    let file = toml("name = 'file'\nzone = 'file'\nweight = 2\n[timeouts]\ncall = '1s'\ndrain = '2s'\n");
    let settings = Layers::new()
        .file(Some(file.path()))
        .environment(variables(&[
            ("GRITMESH_NAME", "environment"),
            ("GRITMESH_TIMEOUTS__CALL", "3s"),
            ("GRITMESH_SEEDS", "a:1, b:2"),
            ("GRITMESH_NODE", "not a setting"),
            ("OTHER_NAME", "not ours"),
        ]))
        .flag("name", Some("flag"))
        .flag("zone", None::<String>)
        .load()
        .unwrap();
    assert_eq!((settings.name.as_str(), settings.zone.as_str()), ("flag", "file"));
    assert_eq!(settings.weight, 2);
    assert_eq!(settings.seeds, ["a:1", "b:2"]);
    assert_eq!(settings.timeouts.call, Duration::from_secs(3));
    assert_eq!(settings.timeouts.drain, Duration::from_secs(2));
    assert_eq!(settings.timeouts.shutdown, Timeouts::default().shutdown);
}

#[test]
fn texts_that_look_like_numbers_stay_texts() {
    let variables = variables(&[("GRITMESH_TOKEN", "007"), ("GRITMESH_SECRET", "1234567890123456789")]);
    let settings = Layers::new().environment(variables).load().unwrap();
    assert_eq!(settings.token.reveal().unwrap().as_deref(), Some("007"));
    assert_eq!(read_secrets(&settings).unwrap(), ["1234567890123456789"]);
    let file = toml("name = 12\nsecret = '@nowhere'\n");
    let settings = Layers::new().file(Some(file.path())).load().unwrap();
    assert_eq!(settings.name, "12");
    assert!(read_secrets(&settings).is_err());
    let file = toml("secret = ['the first of two secrets', '@nowhere']\n");
    let settings = Layers::new().file(Some(file.path())).load().unwrap();
    assert_eq!(settings.secret, ["the first of two secrets", "@nowhere"].map(Confidential::new));
}

#[test]
fn unknown_keys_are_named_with_their_place() {
    let error = |layers: Layers| layers.load().unwrap_err().to_string();
    let file = toml("[timeouts]\nkall = '1s'\n");
    let text = error(Layers::new().file(Some(file.path())));
    assert!(text.starts_with("file ") && text.contains("`timeouts.kall`"), "{text}");
    let text = error(Layers::new().environment(variables(&[("GRITMESH_NAEM", "x")])));
    assert!(text.starts_with("environment variable GRITMESH_NAEM: `naem`: no such setting"), "{text}");
    let text = error(Layers::new().environment(variables(&[("GRITMESH_LIMITS__X", "x")])));
    assert!(text.contains("`limits.x`"), "{text}");
}

#[test]
fn wrong_values_are_named_with_their_place() {
    let error = |layers: Layers| layers.load().unwrap_err().to_string();
    let text = error(Layers::new().flag("weight", Some("heavy")));
    assert!(text.starts_with("flag --weight: `weight`: "), "{text}");
    let text = error(Layers::new().environment(variables(&[("GRITMESH_TIMEOUTS__CALL", "30")])));
    assert!(text.contains("GRITMESH_TIMEOUTS__CALL") && text.contains("`500ms`"), "{text}");
    let file = toml("[limits]\nmemory = 'much'\n");
    let text = error(Layers::new().file(Some(file.path())));
    assert!(text.contains("`limits.memory`") && text.contains("512MiB"), "{text}");
    let file = toml("listen = [\n");
    let text = error(Layers::new().file(Some(file.path())));
    assert!(!text.contains('\n') && text.contains("line"), "{text}");
    let text = error(Layers::new().file(Some(Path::new("no/such/file.toml"))));
    assert!(text.contains("cannot read the configuration file no/such/file.toml"), "{text}");
}

#[test]
fn values_out_of_range_are_named_with_what_is_allowed() {
    let error = |layers: Layers| layers.load().unwrap_err().to_string();
    let file = toml("[limits]\nhttp_requests = 0\n");
    let text = error(Layers::new().file(Some(file.path())));
    assert!(text.starts_with("file "), "{text}");
    assert!(text.ends_with("`limits.http_requests` is 0: 1 to 1000000 are allowed"), "{text}");
    for (key, value, says) in [
        ("timeouts.call", "0s", "`timeouts.call` is 0s: 1ms to 1day are allowed"),
        ("timeouts.call", "2days", "1ms to 1day"),
        ("timeouts.shutdown", "0s", "`timeouts.shutdown` is 0s"),
        ("timeouts.lame_duck", "2h", "0s to 1h"),
        ("timeouts.answers_kept", "1s", "`timeouts.answers_kept` is 1s: 1m to 1year"),
        ("limits.memory", "1MiB", "`limits.memory` is 1MiB: 16MiB to "),
        ("engines", "1000000", "`engines` is 1000000: 0 to 64"),
        ("shards", "0", "`shards` is 0: 1 to "),
    ] {
        let text = error(Layers::new().flag(key, Some(value)));
        assert!(text.starts_with("flag --") && text.contains(says), "{text}");
    }
    for (key, value) in [("timeouts.drain", "0s"), ("timeouts.lame_duck", "0s"), ("limits.memory", "off")] {
        assert!(Layers::new().flag(key, Some(value)).load().is_ok(), "{key}");
    }
}

#[test]
fn names_that_cannot_be_printed_are_refused() {
    for key in ["name", "zone", "cluster"] {
        let load = |value: &str| Layers::new().flag(key, Some(value)).load();
        for (bad, shown) in [("a\u{1b}[2J", "'\\u{1b}'"), ("a\u{202e}", "'\\u{202e}'"), ("a\nb", "'\\n'")] {
            let text = load(bad).unwrap_err().to_string();
            let says = format!("flag --{key}: `{key}` has the character {shown}: names may have");
            assert!(text.starts_with(&says), "{text}");
        }
        let text = load(&"x".repeat(256)).unwrap_err().to_string();
        assert!(text.ends_with(&format!("`{key}` is 256 bytes: 0 bytes to 255 bytes are allowed")), "{text}");
        assert!(load("Straße 中 é").is_ok());
    }
}

use std::path::Path;

#[test]
fn what_is_printed_reads_back() {
    let read = |settings: &Settings| {
        let file = toml(&settings.to_toml());
        Layers::new().file(Some(file.path())).load().unwrap()
    };
    assert_eq!(read(&Settings::default()), Settings::default());
    let other = Settings {
        data: "a \"b\" \\ \u{7f}\u{202e}\u{1b}".into(),
        seeds: vec!["a:1".into(), "b:2".into()],
        http_hosts: vec!["*.example.org".parse().unwrap(), "::1".parse().unwrap()],
        name: "näme 中".into(),
        weight: 7,
        cluster: "shop".into(),
        secret: ["@file", "@another"].map(Confidential::new).to_vec(),
        log_format: LogFormat::Json,
        timeouts: Timeouts { call: Duration::from_millis(1500), ..Timeouts::default() },
        limits: Limits { memory: MemoryLimit::Bytes(Size(512 << 20)), ..Limits::default() },
        ..Settings::default()
    };
    assert_eq!(read(&other), other);
}

#[test]
fn what_is_confidential_is_not_shown() {
    let settings = Settings { secret: vec![Confidential::new("hunter2")], ..Settings::default() };
    for shown in [settings.to_toml(), format!("{settings:?}")] {
        assert!(!shown.contains("hunter2") && shown.contains("redacted"), "{shown}");
    }
    assert_eq!(Confidential::default().reveal().unwrap(), None);
    let file = toml("s3cret\n");
    let from_file = Confidential::new(format!("@{}", file.path().display()));
    assert_eq!(from_file.reveal().unwrap().as_deref(), Some("s3cret"));
}

#[test]
fn what_differs_is_named_by_its_keys() {
    let old = Settings::default();
    assert_eq!(old.differing(&old), [""; 0]);
    let timeouts = Timeouts { call: Duration::from_secs(1), ..Timeouts::default() };
    let new = Settings { weight: 2, secret: secret_lines("x"), timeouts, ..Settings::default() };
    assert_eq!(old.differing(&new), ["weight", "secret", "timeouts.call"]);
}

#[test]
fn variables_of_a_service_are_no_settings_but_misspelt_ones_are_refused() {
    let of_service = [
        ("GRITMESH_PORT", "tcp://10.0.0.1:8080"),
        ("GRITMESH_SERVICE_HOST", "10.0.0.1"),
        ("GRITMESH_PEERS_PORT_7946_TCP_ADDR", "10.0.0.1"),
    ];
    let layers = Layers::new().environment(variables(&of_service));
    let names: Vec<&str> = layers.ignored().iter().map(String::as_str).collect();
    assert_eq!(names, ["GRITMESH_PEERS_PORT_7946_TCP_ADDR", "GRITMESH_PORT", "GRITMESH_SERVICE_HOST"]);
    assert_eq!(layers.load().unwrap(), Settings::default());
    let misspelt = Layers::new().environment(variables(&[("GRITMESH_PORT", "8080")]));
    assert_eq!(misspelt.ignored(), [""; 0]);
    assert!(misspelt.load().unwrap_err().to_string().contains("GRITMESH_PORT: `port`: no such setting"));
}

#[test]
fn a_level_that_does_not_exist_is_refused_with_its_place() {
    let error = |layers: Layers| layers.load().unwrap_err().to_string();
    let text = error(Layers::new().flag("log", Some("warning")));
    assert!(text.starts_with("flag --log: `log`: `warning` is no log level"), "{text}");
    let text = error(Layers::new().environment(variables(&[("GRITMESH_LOG", "INFOO")])));
    assert!(
        text.starts_with("environment variable GRITMESH_LOG: ") && text.contains("info, debug"),
        "{text}"
    );
}

#[test]
fn the_form_of_log_lines_is_known_though_other_settings_are_wrong() {
    let file = toml("log_format = 'json'\nweight = 'heavy'\n");
    let layers = Layers::new().file(Some(file.path()));
    assert_eq!(layers.log_format(), LogFormat::Json);
    assert!(layers.load().is_err());
    let variable = variables(&[("GRITMESH_LOG_FORMAT", "json"), ("GRITMESH_NAEM", "x")]);
    assert_eq!(Layers::new().environment(variable.clone()).log_format(), LogFormat::Json);
    let flag = Layers::new().environment(variable).flag("log_format", Some("pretty"));
    assert_eq!(flag.log_format(), LogFormat::Pretty);
    assert_eq!(Layers::new().file(Some(Path::new("no/such.toml"))).log_format(), LogFormat::Pretty);
    assert_eq!(Layers::new().log_format(), LogFormat::Pretty);
}
