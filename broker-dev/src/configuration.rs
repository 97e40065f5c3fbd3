//! What the program is started with: from a file, the environment and arguments, in this order, the
//! later ones going before the earlier ones.
//!
//! Each value goes through [`Configuration::set`] under its name, whether Apache's or an argument's,
//! so all sources refuse the same misspelt names and bad values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_dev::{
    BrokerConfig, ConfigError, NameServerConfig, NameServerOptions, NamedListener, Options,
    parse_properties,
};
use clap::ArgMatches;
use clap::parser::ValueSource;

/// Begins the variables that set something under RocketMQ's name.
const VARIABLE_PREFIX: &str = "OXMQ_SET_";

/// The arguments that a file may give too, as they are called there and on the command line.
const ARGUMENTS: [&str; 10] = [
    "name-server-address",
    "broker-address",
    "http-address",
    "store",
    "super-user-file",
    "allow-public",
    "stop-timeout",
    "flush",
    "log",
    "log-format",
];

/// Settings of Apache's that this broker fulfils as they are, and with no other value.
const FULFILLED: [(&str, &str); 1] = [("brokerRole", "ASYNC_MASTER")];

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Broker,
    NameServer,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    File(PathBuf),
    Variable(String),
    Argument(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
            Self::Argument(argument) => f.write_str(argument),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Configuration {
    kind: Kind,
    arguments: BTreeMap<&'static str, String>,
    listeners: Vec<NamedListener>,
    broker: BrokerConfig,
    name_server: NameServerConfig,
    origins: BTreeMap<String, Origin>,
}

impl Configuration {
    fn new(kind: Kind) -> Self {
        let defaults = [
            ("name-server-address", "127.0.0.1:9876"),
            ("broker-address", "127.0.0.1:10911"),
            ("http-address", ""),
            ("store", "./store"),
            ("super-user-file", ""),
            ("allow-public", "false"),
            ("stop-timeout", "10"),
            ("log", "warn"),
            ("log-format", "text"),
        ];
        Self {
            kind,
            arguments: defaults.map(|(name, value)| (name, value.to_owned())).into(),
            listeners: Vec::new(),
            broker: BrokerConfig::default(),
            name_server: NameServerConfig::default(),
            origins: BTreeMap::new(),
        }
    }

    /// Puts everything together. `matches` are those of the program and of its subcommand.
    ///
    /// # Errors
    /// Words for the person who started it.
    pub(crate) fn read(kind: Kind, matches: &[&ArgMatches]) -> Result<Self, String> {
        let mut configuration = Self::new(kind);
        let file = matches
            .iter()
            .rev()
            .find_map(|matches| matches.try_get_one::<PathBuf>("config").ok().flatten());
        if let Some(path) = file {
            configuration.read_file(path)?;
        }
        configuration.read_variables()?;
        for source in [ValueSource::EnvVariable, ValueSource::CommandLine] {
            for matches in matches {
                configuration.read_arguments(matches, source)?;
            }
        }
        Ok(configuration)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{shown} cannot be read: {error}"))?;
        let origin = Origin::File(path.to_owned());
        let pairs = if path.extension().is_some_and(|extension| extension == "toml") {
            self.read_toml(&text, &origin)?
        } else {
            parse_properties(&text).map_err(|line| format!("{shown}: line {line} is broken"))?
        };
        for (key, value) in pairs {
            self.set(&key, &value, &origin)?;
        }
        Ok(())
    }

    fn read_toml(&mut self, text: &str, origin: &Origin) -> Result<Vec<(String, String)>, String> {
        let table: toml::Table =
            text.parse().map_err(|error| format!("{origin} is no TOML: {error}"))?;
        let mut pairs = Vec::new();
        for (key, value) in table {
            match value {
                toml::Value::Array(listeners) if key == "listener" => {
                    for listener in listeners {
                        self.add_listener(&fields_of(&listener), origin)?;
                    }
                }
                toml::Value::String(text) => pairs.push((key, text)),
                toml::Value::Integer(number) => pairs.push((key, number.to_string())),
                toml::Value::Float(number) => pairs.push((key, number.to_string())),
                toml::Value::Boolean(is_set) => pairs.push((key, is_set.to_string())),
                _ => return Err(format!("{origin}: `{key}` should be a text, number or boolean")),
            }
        }
        Ok(pairs)
    }

    fn read_variables(&mut self) -> Result<(), String> {
        let mut found: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .collect();
        found.sort();
        for (name, value) in found {
            let origin = Origin::Variable(name.clone());
            let value = value.into_string().map_err(|_| format!("{name} is not UTF-8"))?;
            let key = self.key_of(&name);
            self.set(&key, &value, &origin)?;
        }
        Ok(())
    }

    /// The setting of a variable: `OXMQ_SET_BROKER_NAME` is `brokerName`.
    fn key_of(&self, variable: &str) -> String {
        let plain: String = variable
            .strip_prefix(VARIABLE_PREFIX)
            .unwrap_or(variable)
            .chars()
            .filter(|c| *c != '_')
            .collect();
        let known = self.known_keys().into_iter().find(|key| key.eq_ignore_ascii_case(&plain));
        known.map_or(plain, str::to_owned)
    }

    fn known_keys(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Broker => [BrokerConfig::KEYS, NameServerConfig::KEYS].concat(),
            Kind::NameServer => NameServerConfig::KEYS.to_vec(),
        }
    }

    fn read_arguments(&mut self, matches: &ArgMatches, source: ValueSource) -> Result<(), String> {
        let is_variable = source == ValueSource::EnvVariable;
        for argument in ARGUMENTS {
            let id = argument.replace('-', "_");
            let Ok(Some(mut values)) = matches.try_get_raw(&id) else { continue };
            let Some(value) = values.next() else { continue };
            if matches.value_source(&id) == Some(source) {
                let value = value.to_string_lossy().into_owned();
                let origin = if is_variable {
                    Origin::Variable(variable_of(argument))
                } else {
                    Origin::Argument(format!("--{argument}"))
                };
                self.set(argument, &value, &origin)?;
            }
        }
        if is_variable {
            return Ok(());
        }
        let texts = |id| matches.try_get_many::<String>(id).ok().flatten().into_iter().flatten();
        for pair in texts("settings") {
            let origin = Origin::Argument(format!("--set {pair}"));
            let not_a_pair = || format!("{origin}: {}", ConfigError::NotAPair(pair.clone()));
            let (key, value) = pair.split_once('=').ok_or_else(not_a_pair)?;
            self.set(key.trim(), value, &origin)?;
        }
        for listener in texts("listeners") {
            let origin = Origin::Argument(format!("--listener {listener}"));
            let fields = listener.split(',').map(|field| match field.split_once('=') {
                Some((key, value)) => (key.trim().to_owned(), value.trim().to_owned()),
                None => ("name".to_owned(), field.trim().to_owned()),
            });
            self.add_listener(&fields.collect::<Vec<_>>(), &origin)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str, origin: &Origin) -> Result<(), String> {
        let taken = self.set_argument(key, value).or_else(|| self.set_apache(key, value));
        let set = taken.unwrap_or_else(|| self.set_setting(key, value));
        set.map_err(|error| format!("{origin}: {error}"))?;
        let key = if key == "flush" { "flushDiskType" } else { key };
        self.origins.insert(key.to_owned(), origin.clone());
        Ok(())
    }

    /// Sets what is an argument on the command line; `None` if the name is none.
    fn set_argument(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let argument = *ARGUMENTS.iter().find(|argument| **argument == key)?;
        let value = value.trim();
        let expected = match argument {
            "broker-address" | "flush" | "super-user-file" if self.kind == Kind::NameServer => {
                return Some(Err(format!("a name server has no `{argument}`")));
            }
            "flush" => {
                let mode = match value.to_ascii_lowercase().as_str() {
                    "async" => "ASYNC_FLUSH",
                    "sync" => "SYNC_FLUSH",
                    _ => return Some(Err(bad_value(argument, "async or sync", value))),
                };
                return Some(self.set_setting("flushDiskType", mode));
            }
            "allow-public" if value.parse::<bool>().is_err() => Some("true or false"),
            "stop-timeout" if value.parse::<u64>().is_err() => Some("a whole number of seconds"),
            "log-format" if !matches!(value, "text" | "json") => Some("text or json"),
            _ => None,
        };
        Some(match expected {
            Some(expected) => Err(bad_value(argument, expected, value)),
            None => {
                self.arguments.insert(argument, value.to_owned());
                Ok(())
            }
        })
    }

    /// Sets what Apache has under another name than we; `None` if the name is none of these.
    fn set_apache(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let value = value.trim();
        let address = match self.kind {
            Kind::Broker => "broker-address",
            Kind::NameServer => "name-server-address",
        };
        let now = self.arguments.get(address).cloned().unwrap_or_default();
        let (host, port) = now.rsplit_once(':').unwrap_or((&now, ""));
        let changed = match key {
            "listenPort" if value.parse::<u16>().is_err() => {
                return Some(Err(bad_value("listenPort", "a port", value)));
            }
            "listenPort" => (address, format!("{host}:{value}")),
            "bindAddress" if value.contains(':') && !value.starts_with('[') => {
                (address, format!("[{value}]:{port}"))
            }
            "bindAddress" => (address, format!("{value}:{port}")),
            "storePathRootDir" if self.kind == Kind::Broker => ("store", value.to_owned()),
            "storePathCommitLog" if self.kind == Kind::Broker => {
                let store = self.argument("store");
                if Path::new(value) == Path::new(store).join("commitlog") {
                    return Some(Ok(()));
                }
                return Some(Err(format!(
                    "`storePathCommitLog` can only be `commitlog` in the store's folder, {store}"
                )));
            }
            _ => {
                let (known, only) = FULFILLED.iter().find(|(known, _)| *known == key)?;
                let is_fulfilled = self.kind == Kind::Broker && *only == value;
                return Some(if is_fulfilled {
                    Ok(())
                } else {
                    Err(bad_value(known, only, value))
                });
            }
        };
        self.arguments.insert(changed.0, changed.1);
        Some(Ok(()))
    }

    fn set_setting(&mut self, key: &str, value: &str) -> Result<(), String> {
        let text = |error: ConfigError| error.to_string();
        if NameServerConfig::KEYS.contains(&key) {
            return self.name_server.set(key, value).map_err(text);
        }
        if self.kind == Kind::Broker && BrokerConfig::KEYS.contains(&key) {
            return self.broker.set(key, value).map_err(text);
        }
        let known: Vec<_> = self.known_keys().into_iter().chain(ARGUMENTS).collect();
        Err(text(broker_dev::unknown_key(key, &known)))
    }

    fn add_listener(&mut self, fields: &[(String, String)], origin: &Origin) -> Result<(), String> {
        let mut listener = NamedListener {
            name: String::new(),
            name_server_address: String::new(),
            broker_address: String::new(),
            advertised: None,
        };
        for (key, value) in fields {
            match key.as_str() {
                "name" => listener.name.clone_from(value),
                "name-server" => listener.name_server_address.clone_from(value),
                "broker" => listener.broker_address.clone_from(value),
                "advertised" => listener.advertised = Some(value.clone()),
                _ => {
                    let known = "name, name-server, broker or advertised";
                    return Err(format!("{origin}: a listener has {known}, and no `{key}`"));
                }
            }
        }
        let NamedListener { name, name_server_address, broker_address, .. } = &listener;
        if self.kind == Kind::NameServer {
            return Err(format!("{origin}: a name server alone has no named listeners"));
        }
        if [name, name_server_address, broker_address].iter().any(|field| field.is_empty()) {
            return Err(format!("{origin}: a listener needs name, name-server and broker"));
        }
        if self.listeners.iter().any(|known| known.name == listener.name) {
            return Err(format!("{origin}: there is a listener `{}` already", listener.name));
        }
        self.listeners.push(listener);
        Ok(())
    }

    fn argument(&self, name: &str) -> &str {
        self.arguments.get(name).map_or("", String::as_str)
    }

    /// Where health and metrics are served, if they are.
    pub(crate) fn http_address(&self) -> Option<String> {
        Some(self.argument("http-address")).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The file with the first user, if users are to sign.
    pub(crate) fn super_user_file(&self) -> Option<&Path> {
        Some(self.argument("super-user-file")).filter(|text| !text.is_empty()).map(Path::new)
    }

    /// How long a stop may take.
    pub(crate) fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.argument("stop-timeout").parse().unwrap_or(10))
    }

    /// What is logged.
    pub(crate) fn log_filter(&self) -> &str {
        self.argument("log")
    }

    /// Whether it is logged as JSON.
    pub(crate) fn logs_json(&self) -> bool {
        self.argument("log-format") == "json"
    }

    fn allow_public(&self) -> bool {
        self.argument("allow-public") == "true"
    }

    /// For a broker.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default().store(self.argument("store"));
        options.name_server_address = self.argument("name-server-address").to_owned();
        options.broker_address = self.argument("broker-address").to_owned();
        options.http_address = self.http_address();
        options.allow_public = self.allow_public();
        options.listeners = self.listeners.clone();
        options.settings = self.broker.clone();
        options.name_server = self.name_server.clone();
        options
    }

    /// For a name server alone.
    pub(crate) fn name_server_options(&self) -> NameServerOptions {
        let mut options = NameServerOptions::default();
        options.address = self.argument("name-server-address").to_owned();
        options.http_address = self.http_address();
        options.allow_public = self.allow_public();
        options.store = Some(self.argument("store").into());
        options.settings = self.name_server.clone();
        options
    }

    /// Every setting under RocketMQ's name.
    pub(crate) fn entries(&self) -> Vec<(&'static str, String)> {
        let mut entries = self.name_server.entries();
        if self.kind == Kind::Broker {
            entries.extend(self.broker.entries());
        }
        entries.sort_unstable();
        entries
    }

    /// All of it as TOML that can be read back, with the origins of what is not the default.
    pub(crate) fn to_toml(&self) -> String {
        let mut lines = String::new();
        let mut line = |key: &str, value: &str| {
            let value = match value.parse::<i64>() {
                Ok(number) => toml::Value::Integer(number),
                Err(_) => value.parse::<bool>().map_or_else(|_| value.into(), toml::Value::Boolean),
            };
            lines.push_str(&format!("{key} = {value}"));
            if let Some(origin) = self.origins.get(key) {
                // A comment ends with its line.
                lines.push_str(&format!("  # {}", origin.to_string().replace('\n', " ")));
            }
            lines.push('\n');
        };
        for (key, value) in &self.arguments {
            if self.kind == Kind::Broker || *key != "broker-address" {
                line(key, value);
            }
        }
        for (key, value) in self.entries() {
            line(key, &value);
        }
        for listener in &self.listeners {
            let quoted = |text: &str| toml::Value::from(text).to_string();
            lines.push_str(&format!(
                "\n[[listener]]\nname = {}\nname-server = {}\nbroker = {}\n",
                quoted(&listener.name),
                quoted(&listener.name_server_address),
                quoted(&listener.broker_address)
            ));
            if let Some(advertised) = &listener.advertised {
                lines.push_str(&format!("advertised = {}\n", quoted(advertised)));
            }
        }
        lines
    }
}

fn fields_of(listener: &toml::Value) -> Vec<(String, String)> {
    let fields = listener.as_table().into_iter().flatten();
    let text = |value: &toml::Value| value.as_str().unwrap_or_default().to_owned();
    fields.map(|(key, value)| (key.clone(), text(value))).collect()
}

fn bad_value(key: &str, expected: &str, found: &str) -> String {
    format!("`{key}` should be {expected}, but is `{found}`")
}

fn variable_of(argument: &str) -> String {
    match argument {
        "log" => "RUST_LOG".to_owned(),
        argument => format!("OXMQ_{}", argument.replace('-', "_").to_uppercase()),
    }
}
