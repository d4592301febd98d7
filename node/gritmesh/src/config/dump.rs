//! The settings in the form of the file that would give them, with what each means.

use std::fmt::Write;

use super::Settings;

impl Settings {
    /// The keys that have another value elsewhere, but for texts that are confidential.
    pub(crate) fn differing(&self, other: &Self) -> Vec<String> {
        let (ours, theirs) = (self.to_toml(), other.to_toml());
        let mut section = String::new();
        let mut keys = Vec::new();
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            if let Some(name) = ours.strip_prefix('[') {
                section = format!("{}.", name.trim_end_matches(']'));
            } else if ours != theirs {
                keys.extend(ours.split_once(" = ").map(|(key, _)| format!("{section}{key}")));
            }
        }
        keys
    }

    /// The settings as a TOML file. What is confidential is redacted; the rest reads back as it was.
    pub fn to_toml(&self) -> String {
        let mut toml = self.addresses_toml();
        toml.push_str(&self.node_toml());
        toml.push_str(&self.timeouts_toml());
        toml.push_str(&self.limits_toml());
        toml
    }

    /// Where the node is, and where the others are.
    fn addresses_toml(&self) -> String {
        let mut toml = String::new();
        let mut line = |comment, key, value| write_line(&mut toml, comment, key, value);
        line("The data directory of one node.", "data", quoted(&self.data.to_string_lossy()));
        line(
            "Where to listen for peers, HOST:PORT. Port 0 takes a free one.",
            "listen",
            quoted(&self.listen),
        );
        line("Where to serve HTTP, HOST:PORT, or \"off\".", "http", quoted(&self.http));
        let hosts: Vec<String> = self.http_hosts.iter().map(|host| quoted(&host.to_string())).collect();
        line(
            "Hosts under which HTTP is asked, beside own addresses: \"mesh.example.org\", \"*.example.org\", \"*\".",
            "http_hosts",
            format!("[{}]", hosts.join(", ")),
        );
        line(
            "The host others reach this node at, if it listens on all. Empty: found out.",
            "advertise",
            quoted(&self.advertise),
        );
        let seeds: Vec<String> = self.seeds.iter().map(|seed| quoted(seed)).collect();
        line(
            "Nodes to join through, HOST:PORT. May be the same list on every node.",
            "seeds",
            format!("[{}]", seeds.join(", ")),
        );
        line(
            "How many nodes stand behind the name that is the first seed when a cluster is founded; 0: not known.",
            "expect",
            self.expect.to_string(),
        );
        toml
    }

    /// What the node is, and how it talks.
    fn node_toml(&self) -> String {
        let mut toml = String::new();
        let mut line = |comment, key, value| write_line(&mut toml, comment, key, value);
        line(
            "What the cluster is called. Nodes that call it otherwise refuse each other.",
            "cluster",
            quoted(&self.cluster),
        );
        line("The node's name in tables. Empty: taken from its key.", "name", quoted(&self.name));
        line("The failure zone.", "zone", quoted(&self.zone));
        line(
            "The node's share of the ring relative to others; 0 takes no shards.",
            "weight",
            self.weight.to_string(),
        );
        line(
            "What all nodes of the cluster know: a text, \"@FILE\", or a list. The first is proved, all are accepted.",
            "secret",
            self.secrets_shown(),
        );
        line(
            "Opens administrative requests to other machines: a text, or \"@FILE\".",
            "token",
            quoted(self.token.redacted()),
        );
        line(
            "Engines that share the node's shards; 0 is one for four cores.",
            "engines",
            self.engines.to_string(),
        );
        line("How many shards a cluster has that this node founds.", "shards", self.shards.to_string());
        line(
            "Which log lines are written: a level, or \"info,gritmesh_core=debug\".",
            "log",
            quoted(self.log.as_str()),
        );
        line("How they look: \"pretty\" or \"json\".", "log_format", quoted(&self.log_format.to_string()));
        toml
    }

    fn secrets_shown(&self) -> String {
        let shown: Vec<String> = self.secret.iter().map(|secret| quoted(secret.redacted())).collect();
        match &shown[..] {
            [] => quoted(""),
            [secret] => secret.clone(),
            several => format!("[{}]", several.join(", ")),
        }
    }

    fn timeouts_toml(&self) -> String {
        let times = &self.timeouts;
        let text = |time| quoted(&humantime::format_duration(time).to_string());
        format!(
            "\n# Durations: \"500ms\", \"30s\", \"5m\", \"1h 30m\".\n[timeouts]\n\
             # How long a call may take whose caller sets no deadline.\ncall = {}\n\
             # How long a node that stops goes on taking requests, unless no connection is open.\nlame_duck = {}\n\
             # How long a node that stops may take to hand over its shards; \"0s\" does not try.\ndrain = {}\n\
             # How long stopping may take altogether.\nshutdown = {}\n\
             # How long a node that may found a cluster waits to hear of one.\nfound_after = {}\n\
             # How long an HTTP connection may rest between two requests, at least a second.\nkeep_alive = {}\n\
             # How long answers under an idempotency key are kept, at least a minute.\nanswers_kept = {}\n",
            text(times.call),
            text(times.lame_duck),
            text(times.drain),
            text(times.shutdown),
            text(times.found_after),
            text(times.keep_alive),
            text(times.answers_kept),
        )
    }

    fn limits_toml(&self) -> String {
        format!(
            "\n[limits]\n# HTTP requests at once; one more is answered with 503.\nhttp_requests = {}\n\
             # Idle actors leave early above 80 % of this: \"2GiB\", \"auto\" or \"off\".\nmemory = {}\n",
            self.limits.http_requests,
            quoted(&self.limits.memory.to_string()),
        )
    }
}

fn write_line(toml: &mut String, comment: &str, key: &str, value: String) {
    writeln!(toml, "# {comment}\n{key} = {value}").expect("writing to a string does not fail");
}

/// A TOML string. JSON's escapes are TOML's. What is not printed as it is, is escaped besides.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut quoted = String::with_capacity(json.len());
    for c in json.chars() {
        // Escaped texts of Rust are those that are no plain letters, of any alphabet.
        match c == '\u{7f}' || (!c.is_ascii() && c.escape_debug().len() > 1) {
            true => write!(quoted, "\\U{:08x}", u32::from(c)).expect("writing to a string does not fail"),
            false => quoted.push(c),
        }
    }
    quoted
}
