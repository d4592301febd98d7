use super::*;
use crate::cli::arguments::MessageArguments;
use crate::config::Confidential;

fn each(command: &clap::Command, check: &mut impl FnMut(&clap::Command)) {
    check(command);
    command.get_subcommands().for_each(|verb| each(verb, check));
}

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    let matches = command("gritmesh", &[]).try_get_matches_from(line.split(' '))?;
    Cli::from_arg_matches(&matches)
}

fn message(line: &str) -> MessageArguments {
    match parsed(line).unwrap().verb {
        Verb::Call(arguments) => arguments.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    command("gritmesh", &[]).debug_assert();
}

#[test]
fn every_command_has_an_example_under_the_programs_name() {
    let mut command = command("cart", &[]);
    command.build();
    let mut commands = 0;
    each(&command, &mut |verb| {
        if verb.get_name() == "help" || verb.get_bin_name().is_some_and(|name| name.contains(" help")) {
            return;
        }
        commands += 1;
        let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Examples:\n  cart "), "`{}`: {help}", verb.get_name());
        assert!(!help.contains("\n  gritmesh "), "{help}");
    });
    assert!(commands > 12, "{commands}");
}

#[test]
fn arguments_are_json_or_texts() {
    let values = |line| call::values(&message(line)).to_string();
    assert_eq!(values("gritmesh call counter/a add 5"), "[5]");
    assert_eq!(values("gritmesh call counter/a add -5"), "[-5]");
    assert_eq!(
        values("gritmesh call a/b m bob \"bob\" {\"a\":1} [1] null true -- -x"),
        r#"["bob","bob",{"a":1},[1],null,true,"-x"]"#
    );
    assert_eq!(values("gritmesh call counter/a get --node h:1 -o json"), "[]");
}

#[test]
fn addresses_are_checked_and_encoded() {
    let path = |text| {
        let arguments = message(text);
        call::path("call", &arguments.subject.address().unwrap(), &arguments.method)
    };
    assert_eq!(path("gritmesh call acme:counter/a/b%é add"), "/v1/call/counter/a%2Fb%25%C3%A9/add");
    assert_eq!(message("gritmesh call acme:counter/a add").subject.address().unwrap().tenant(), "acme");
    let error = parsed("gritmesh call counter add 5").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("`type/id`"), "{error}");
}

#[test]
fn a_tenant_stands_before_the_type_or_in_its_flag() {
    let address = |line: &str| message(line).subject.address().map(|address| address.to_string());
    let is = |line, expected: &str| assert_eq!(address(line).unwrap(), expected, "{line}");
    is("gritmesh call counter/a add --tenant acme", "acme:counter/a");
    is("gritmesh call acme:counter/a add --tenant acme", "acme:counter/a");
    is("gritmesh call counter/a add", "counter/a");
    for refused in ["other:counter/a add --tenant acme", "counter/a add --tenant a/b"] {
        let refused = address(&format!("gritmesh call {refused}"));
        assert!(matches!(refused, Err(output::Failed::Unusable(_))), "{refused:?}");
    }
}

#[test]
fn a_key_is_printable() {
    let key = |line: &str| match parsed(line).map(|cli| cli.verb) {
        Ok(Verb::Call(arguments)) => arguments.key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key("gritmesh call counter/a add --key invoice-17").as_deref(), Some("invoice-17"));
    for bad in ["", "\u{e9}", "\n", &"x".repeat(1025)] {
        assert!(parsed(&format!("gritmesh call counter/a add --key {bad}")).is_err(), "{bad:?}");
    }
}

#[test]
fn flags_lie_on_top_of_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "name = 'file'\nzone = 'file'\n").unwrap();
    let line = format!(
        "gritmesh up --config {} --name flag --seeds a:1,b:2 --weight 3 --secret @x --secret @y --log-format json",
        file.path().display()
    );
    let Verb::Up(arguments) = parsed(&line).unwrap().verb else { panic!("not `up`") };
    let settings = arguments.layers().load().unwrap();
    assert_eq!((settings.name.as_str(), settings.zone.as_str(), settings.weight), ("flag", "file", 3));
    assert_eq!(settings.seeds, ["a:1", "b:2"]);
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!(settings.secret, [Confidential::new("@x"), Confidential::new("@y")]);
}

#[test]
fn an_added_command_is_run_and_keeps_its_own_options() {
    let sim = clap::Command::new("sim").arg(clap::Arg::new("output").short('o'));
    let run = |matches: &ArgMatches| ExitCode::from(matches.get_one::<String>("output").unwrap().len() as u8);
    let app = App::new(crate::samples::register).with(Extra { command: sim, run });
    let code = app.run(["gritmesh", "sim", "-o", "seven.."].map(OsString::from));
    assert_eq!(code, ExitCode::from(7));
}

#[test]
fn completions_know_the_programs_name() {
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut command("cart", &[]), "cart", &mut script);
    let script = String::from_utf8(script).unwrap();
    assert!(script.contains("cart__subcmd__up") || script.contains("cart__up"), "{script}");
}
