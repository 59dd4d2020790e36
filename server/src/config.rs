//! The settings, all from the environment, read once. Nothing else reads the environment.
//!
//! | name | what it says | without it |
//! | --- | --- | --- |
//! | `AGENTFLOW_ADDRESS` | the address and port to listen on | `127.0.0.1:3000` |
//! | `AGENTFLOW_PUBLIC_URL` | the address that people use, when it is another one | `http://localhost:<port>` |
//! | `DATABASE_URL` | a PostgreSQL 15 or newer, with a role that owns the schema | a private cluster is kept |
//! | `AGENTFLOW_DATABASE_CONNECTIONS` | the most connections of one pool | `10` |
//! | `AGENTFLOW_DATA_DIR` | where the private cluster lives | the user's data folder |
//! | `PG_BIN_DIR` | the PostgreSQL binaries for the private cluster | the newest that are found |
//! | `AGENTFLOW_TRUSTED_PROXIES` | addresses of proxies, by commas, whose `X-Forwarded-For` is believed | none |
//! | `AGENTFLOW_SIGN_UP` | `open`: everybody may sign up; `closed`: the operator makes accounts | `open` |
//! | `AGENTFLOW_ADMIN_EMAIL`, `AGENTFLOW_ADMIN_PASSWORD` | the first account, made at start where there is none | a link on the console |
//! | `AGENTFLOW_ADMIN_NAME`, `AGENTFLOW_ADMIN_ORGANIZATION` | its name, and that of the organization which it owns | `Administrator`, `My organization` |
//! | `AGENTFLOW_SESSION_IDLE_MINUTES` | how long a session lives without a request | `20160`, two weeks |
//! | `AGENTFLOW_SESSION_MINUTES` | how long a session lives in all | `43200`, thirty days |
//! | `AGENTFLOW_LEASE_MS` | how long a node owns its runs without a heartbeat | `15000` |
//! | `AGENTFLOW_HEARTBEAT_MS` | the pause between heartbeats | `5000` |
//! | `AGENTFLOW_REAPER_MS` | the pause between looks for lost nodes | `2000` |
//! | `AGENTFLOW_MAX_RUNS` | the most runs that a node works on at the same time | `512` |
//! | `AGENTFLOW_MAX_RUNS_PER_ORGANIZATION` | how many runs of an organization may be at work at once, where it has no limit of its own | no limit |
//! | `AGENTFLOW_MAX_CALLS` | the most model and tool calls of a node at the same time | `128` |
//! | `AGENTFLOW_POISON_CRASHES` | how many processes in a row may die under a call until it is given up | `3` |
//! | `AGENTFLOW_MASTER_KEY` or `AGENTFLOW_MASTER_KEY_FILE` | the key that credentials are sealed under, or its file: 32 random bytes in base64 or hex (`openssl rand -base64 32`) | beside the private cluster a file is made; else no credentials can be stored |
//! | `AGENTFLOW_MASTER_KEY_OLD` | further keys, by commas, that credentials may still be sealed under: for `agentflow admin rotate-master-key` | none |
//! | `ANTHROPIC_API_KEY`, `OPENAI_API_KEY`, `GEMINI_API_KEY`, `DEEPSEEK_API_KEY`, `XAI_API_KEY`, `PERPLEXITY_API_KEY`, `MISTRAL_API_KEY`, `GROQ_API_KEY` | a provider's key: its models can be chosen; several with commas between share the work | the sandbox model alone |
//! | `…_BASE_URL`, `…_MODELS` | for each of these: another address, and the models to offer, by commas | the provider's own address; those of the price table |
//! | `AGENTFLOW_MODEL_BASE_URL`, `AGENTFLOW_MODELS`, `AGENTFLOW_MODEL_KEY` | any server that speaks OpenAI's language, such as Ollama | none |
//! | `AGENTFLOW_PRICES_FILE` | a file with prices of models, laid over the list prices | the list prices alone |
//! | `AGENTFLOW_SANDBOX_PAUSE_MS` | the pause after each word that the sandbox model writes | `12` |
//! | `AGENTFLOW_ALLOWED_HOSTS` | `host:port`, by commas, that tools may call although it is private | none |
//! | `AGENTFLOW_SEARCH_URL` | a SearXNG server that answers in JSON: the tool web_search asks it | web_search is not set up |
//! | `AGENTFLOW_SEARCH_COST` | what a search costs, in dollars: budgets count it | 0.005 with Brave, else 0 |
//! | `AGENTFLOW_BRAVE_API_KEY`, `AGENTFLOW_BRAVE_BASE_URL` | a key of Brave Search instead, and another address of it | web_search is not set up |
//! | `AGENTFLOW_SHELL` | `bubblewrap`: the tool shell runs commands in a sandbox made by it | `off` |
//! | `AGENTFLOW_MCP_COMMANDS` | `1`: admins may add MCP servers that are started here by a command | only servers by URL |
//! | `SMTP_URL`, `MAIL_FROM` | the mail server, and who writes | mail stays in the local outbox |
//! | `AGENTFLOW_NOTICE_MINUTES` | the minutes that an approval waits before those who may decide it get e-mail; `off`: no such mail, nor of failed runs | `10` |
//! | `AGENTFLOW_RETENTION_DAYS` | the days that ended runs are kept, where neither workflow nor organization says; `0`: for ever | `30` |
//! | `AGENTFLOW_LOG` | what is logged, as in `info,agentflow=debug` | `info,sqlx=warn` |
//! | `AGENTFLOW_LOG_FORMAT` | `json` or `text` | text on a terminal, JSON elsewhere |

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use agentflow::{
    accounts::sessions::Limits, credentials::MasterKey, egress::EgressSettings, engine::runner, housekeeping,
    mail::MailSettings, mcp::McpSettings, models::ModelSettings, notices, tools::settings::ToolSettings,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::startup::Trouble;

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// What is served, and where.
    pub http: Http,
    /// Where the data is.
    pub database: Database,
    /// How people get in.
    pub accounts: Accounts,
    /// This machine's name, as the list of nodes shows it.
    pub host: String,
    /// What credentials are sealed under.
    pub master_key: MasterKeySettings,
    /// How a node works on runs.
    pub engine: runner::Settings,
    /// The providers of models.
    pub models: ModelSettings,
    /// What the operator allows and sets up for tools.
    pub tools: ToolSettings,
    /// Where mail goes out.
    pub mail: MailSettings,
    /// The days that ended runs are kept; 0 for ever.
    pub retention_days: i32,
    /// The minutes that an approval waits before people are told of it by e-mail; none: nobody is told of anything.
    pub notice_minutes: Option<i32>,
    /// What outside calls may and may not reach.
    pub egress: EgressSettings,
    /// How MCP servers may be reached.
    pub mcp: McpSettings,
    /// The program that expressions run in, a process of their own; none: they run in this one.
    pub expression_worker: Option<PathBuf>,
    /// What is logged, and how.
    pub log: Log,
    /// What was not set, and what holds instead; said at start.
    pub defaulted: Vec<String>,
}

/// What is served, and where.
#[derive(Debug, Clone)]
pub struct Http {
    /// Where to listen.
    pub address: SocketAddr,
    /// The address that people use; its origin is the one that may change things.
    pub public_url: Url,
}

/// Where the data is.
#[derive(Debug, Clone)]
pub struct Database {
    /// A database of the operator's; without one, the server keeps a private cluster.
    pub url: Option<SecretString>,
    /// The most connections of one pool.
    pub connections: u32,
    /// Where the private cluster lives, when it was said.
    pub data_dir: Option<PathBuf>,
    /// Where the private cluster would live by itself.
    pub user_data_dir: Option<PathBuf>,
    /// The PostgreSQL binaries of the private cluster, when they were said.
    pub bin_dir: Option<PathBuf>,
    /// Folders to look for PostgreSQL's binaries in, besides the well-known ones.
    pub search_path: Vec<PathBuf>,
    /// The user's cache folder, where the set-up may have put PostgreSQL's binaries.
    pub cache_dir: Option<PathBuf>,
}

/// What credentials are sealed under.
#[derive(Debug, Clone)]
pub struct MasterKeySettings {
    /// The key itself.
    pub key: Option<MasterKey>,
    /// The file that the key is in.
    pub file: Option<PathBuf>,
    /// Other keys that credentials may be sealed under.
    pub old: Vec<MasterKey>,
}

/// How people get in.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// How long sessions live.
    pub sessions: Limits,
    /// The proxies whose word on a client's address is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether everybody may sign up.
    pub sign_up_is_open: bool,
    /// The first account, made at start where there is none.
    pub first: Option<FirstAccount>,
}

/// The first account, as the settings have it. What is wrong with it is said when it is to be made.
#[derive(Debug, Clone)]
pub struct FirstAccount {
    /// The address to sign in with.
    pub email: String,
    /// The password.
    pub password: SecretString,
    /// The person's name.
    pub name: String,
    /// The organization that it owns.
    pub organization: String,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// A filter such as `info,agentflow=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// The settings of this process.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_env() -> Result<Self, Vec<Trouble>> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
        Self::read(&|name| std::env::var(name).ok())
    }

    /// The settings from anywhere that knows values by name. An empty value is no value.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<Trouble>> {
        let mut reader = Reader { lookup, troubles: Vec::new(), defaulted: Vec::new() };
        let config = Self {
            http: reader.http(),
            database: reader.database(),
            accounts: reader.accounts(),
            master_key: reader.master_key(),
            host: reader.text("HOSTNAME").unwrap_or_else(|| "localhost".to_owned()),
            engine: reader.engine(),
            models: reader.models(),
            tools: reader.tools(),
            mail: reader.mail(),
            retention_days: reader.retention_days(),
            notice_minutes: reader.notice_minutes(),
            egress: reader.egress(),
            mcp: reader.mcp(),
            expression_worker: None,
            log: reader.log(),
            defaulted: std::mem::take(&mut reader.defaulted),
        };
        if reader.troubles.is_empty() { Ok(config) } else { Err(reader.troubles) }
    }

    /// The secrets in the settings, which must turn up nowhere: keys of providers, and passwords that are none of a
    /// dictionary's words.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretString> {
        let password = |url: &SecretString| {
            Url::parse(url.expose_secret()).ok()?.password().map(|password| SecretString::from(password.to_owned()))
        };
        let urls = [&self.database.url, &self.mail.smtp_url];
        let first = self.accounts.first.iter().map(|account| account.password.clone());
        let passwords = urls.into_iter().flatten().filter_map(password).chain(first).filter(|password| {
            let password = password.expose_secret();
            password.len() >= 10 && password.bytes().any(|byte| !byte.is_ascii_alphabetic())
        });
        self.models.providers.iter().filter_map(|provider| provider.key.clone()).chain(passwords).collect()
    }
}

/// Reads settings and gathers what is wrong with them.
struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    troubles: Vec<Trouble>,
    defaulted: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A value that parses, or the default; `form` says what it should look like.
    fn parsed<T: std::str::FromStr>(&mut self, name: &str, default: T, form: &str) -> T {
        let Some(text) = self.text(name) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.troubles.push(Trouble::new(format!("{name} is “{text}”."), format!("Set it to {form}.")));
            default
        })
    }

    fn http(&mut self) -> Http {
        if self.text("AGENTFLOW_ADDRESS").is_none() {
            self.defaulted.push("AGENTFLOW_ADDRESS: only this machine can connect (127.0.0.1:3000)".to_owned());
        }
        let address: SocketAddr = self.parsed(
            "AGENTFLOW_ADDRESS",
            SocketAddr::from(([127, 0, 0, 1], 3000)),
            "an address with a port, such as 0.0.0.0:3000",
        );
        let fallback = Url::parse(&format!("http://localhost:{}/", address.port()));
        let public_url = match self.text("AGENTFLOW_PUBLIC_URL").map_or(fallback, |text| Url::parse(&text)) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
            _ => None,
        };
        let public_url = public_url.unwrap_or_else(|| {
            self.troubles.push(Trouble::new(
                "AGENTFLOW_PUBLIC_URL is not an address that a browser can open.",
                "Set it to the address that people use, such as https://flows.example.com.",
            ));
            Url::from_directory_path(Path::new("/")).unwrap_or_else(|()| unreachable!("the root is a directory"))
        });
        Http { address, public_url }
    }

    fn database(&mut self) -> Database {
        let url = self.text("DATABASE_URL");
        if let Some(text) = &url
            && !(text.starts_with("postgres://") || text.starts_with("postgresql://"))
        {
            self.troubles.push(Trouble::new(
                "DATABASE_URL does not begin with postgres://.",
                "Set it to postgres://user:password@host/database, or unset it for a private PostgreSQL.",
            ));
        }
        if url.is_none() {
            self.defaulted.push("DATABASE_URL: a private PostgreSQL is kept".to_owned());
        }
        let home = self.path("HOME");
        let under = |variable: Option<PathBuf>, rest: &str| {
            variable.filter(|path| path.is_absolute()).or_else(|| home.as_ref().map(|home| home.join(rest)))
        };
        Database {
            url: url.map(SecretString::from),
            connections: self.parsed("AGENTFLOW_DATABASE_CONNECTIONS", 10, "a number of connections, such as 10"),
            data_dir: self.path("AGENTFLOW_DATA_DIR"),
            user_data_dir: under(self.path("XDG_DATA_HOME"), ".local/share").map(|path| path.join("agentflow")),
            bin_dir: self.path("PG_BIN_DIR"),
            search_path: self.text("PATH").iter().flat_map(std::env::split_paths).collect(),
            cache_dir: under(self.path("XDG_CACHE_HOME"), ".cache").map(|path| path.join("agentflow")),
        }
    }

    fn accounts(&mut self) -> Accounts {
        let form = "a number of minutes, 1 to 525600 (a year)";
        let usual = Limits::default();
        let idle = self.parsed("AGENTFLOW_SESSION_IDLE_MINUTES", usual.idle_s / 60, form);
        let absolute = self.parsed("AGENTFLOW_SESSION_MINUTES", usual.absolute_s / 60, form);
        for (name, value) in [("AGENTFLOW_SESSION_IDLE_MINUTES", idle), ("AGENTFLOW_SESSION_MINUTES", absolute)] {
            if !(1..=525_600).contains(&value) {
                self.troubles.push(Trouble::new(format!("{name} is {value}."), format!("Set it to {form}.")));
            }
        }
        let mut trusted_proxies = Vec::new();
        for text in self.text("AGENTFLOW_TRUSTED_PROXIES").iter().flat_map(|list| list.split(',')) {
            match text.trim().parse::<IpAddr>() {
                Ok(address) => trusted_proxies.push(address.to_canonical()),
                Err(_) => self.troubles.push(Trouble::new(
                    format!("AGENTFLOW_TRUSTED_PROXIES has “{}”.", text.trim()),
                    "Set it to addresses, such as 10.0.0.1, with commas between them.",
                )),
            }
        }
        let seconds = |minutes: u32| minutes.saturating_mul(60);
        Accounts {
            sessions: Limits { idle_s: seconds(idle), absolute_s: seconds(absolute) },
            trusted_proxies,
            sign_up_is_open: self.sign_up_is_open(),
            first: self.first_account(),
        }
    }

    fn master_key(&mut self) -> MasterKeySettings {
        let mut read = |name: &str, text: &str| match MasterKey::parse(text) {
            Ok(key) => Some(key),
            Err(message) => {
                self.troubles.push(Trouble::new(format!("{name} {message}"), "The key itself is shown nowhere."));
                None
            }
        };
        let value = |name: &str| (self.lookup)(name).filter(|text| !text.trim().is_empty());
        let key = value("AGENTFLOW_MASTER_KEY").and_then(|text| read("AGENTFLOW_MASTER_KEY", &text));
        let old = value("AGENTFLOW_MASTER_KEY_OLD").unwrap_or_default();
        let old = old.split(',').filter(|text| !text.trim().is_empty());
        let old = old.filter_map(|text| read("AGENTFLOW_MASTER_KEY_OLD", text)).collect();
        let file = self.path("AGENTFLOW_MASTER_KEY_FILE");
        let is_set = value("AGENTFLOW_MASTER_KEY").is_some();
        if is_set && file.is_some() {
            self.troubles.push(Trouble::new(
                "AGENTFLOW_MASTER_KEY and AGENTFLOW_MASTER_KEY_FILE are both set.",
                "Set one of them.",
            ));
        } else if !is_set && file.is_none() {
            let holds = match self.text("DATABASE_URL") {
                Some(_) => "organizations can store no credentials",
                None => "a key of its own is kept in the data folder",
            };
            self.defaulted.push(format!("AGENTFLOW_MASTER_KEY: {holds}"));
        }
        MasterKeySettings { key, file, old }
    }

    fn sign_up_is_open(&mut self) -> bool {
        match self.text("AGENTFLOW_SIGN_UP").as_deref() {
            None | Some("open") => true,
            Some("closed") => false,
            Some(other) => {
                let what = format!("AGENTFLOW_SIGN_UP is “{other}”.");
                self.troubles.push(Trouble::new(what, "Set it to open or closed, or unset it."));
                false
            }
        }
    }

    fn first_account(&mut self) -> Option<FirstAccount> {
        let email = self.text("AGENTFLOW_ADMIN_EMAIL");
        // As it is: spaces at its ends belong to it.
        let password = (self.lookup)("AGENTFLOW_ADMIN_PASSWORD").filter(|value| !value.is_empty());
        match (email, password) {
            (Some(email), Some(password)) => Some(FirstAccount {
                email,
                password: SecretString::from(password),
                name: self.text("AGENTFLOW_ADMIN_NAME").unwrap_or_else(|| "Administrator".to_owned()),
                organization: self.text("AGENTFLOW_ADMIN_ORGANIZATION").unwrap_or_else(|| "My organization".to_owned()),
            }),
            (None, None) => None,
            _ => {
                self.troubles.push(Trouble::new(
                    "Of AGENTFLOW_ADMIN_EMAIL and AGENTFLOW_ADMIN_PASSWORD only one is set.",
                    "Set both for a first account, or neither.",
                ));
                None
            }
        }
    }

    fn mcp(&mut self) -> McpSettings {
        let commands = match self.text("AGENTFLOW_MCP_COMMANDS").as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => {
                let what = format!("AGENTFLOW_MCP_COMMANDS is “{other}”.");
                self.troubles.push(Trouble::new(what, "Set it to 1, or unset it."));
                false
            }
        };
        McpSettings { commands, search_path: self.text("PATH").unwrap_or_default() }
    }

    fn engine(&mut self) -> runner::Settings {
        let usual = runner::Settings::default();
        let mut pause = |name: &str, default: Duration| {
            let form = "a number of milliseconds, 100 to 600000";
            let default_ms = u32::try_from(default.as_millis()).unwrap_or(u32::MAX);
            let milliseconds: u32 = self.parsed(name, default_ms, form);
            if !(100..=600_000).contains(&milliseconds) {
                self.troubles.push(Trouble::new(format!("{name} is {milliseconds}."), format!("Set it to {form}.")));
            }
            Duration::from_millis(milliseconds.into())
        };
        let lease = pause("AGENTFLOW_LEASE_MS", usual.lease);
        let heartbeat = pause("AGENTFLOW_HEARTBEAT_MS", usual.heartbeat);
        let reaper = pause("AGENTFLOW_REAPER_MS", usual.reaper);
        if heartbeat * 2 > lease {
            self.troubles.push(Trouble::new(
                "AGENTFLOW_HEARTBEAT_MS is more than half of AGENTFLOW_LEASE_MS: one late heartbeat would lose a node.",
                "Set it to a third of the lease, or less.",
            ));
        }
        let max_runs: u32 = self.parsed("AGENTFLOW_MAX_RUNS", 512, "a number of runs, such as 512");
        let max_calls: u32 = self.parsed("AGENTFLOW_MAX_CALLS", 128, "a number of calls, such as 128");
        let of_organization: u32 =
            self.parsed("AGENTFLOW_MAX_RUNS_PER_ORGANIZATION", 0, "a number of runs, such as 50, or unset it");
        let poison: u32 = self.parsed("AGENTFLOW_POISON_CRASHES", usual.poison, "a number of crashes, such as 3");
        runner::Settings {
            poison: poison.max(1),
            // None is as good as nothing.
            max_runs_per_organization: (of_organization > 0).then_some(of_organization),
            lease,
            heartbeat,
            reaper,
            max_runs: max_runs.max(1) as usize,
            max_calls: max_calls.max(1) as usize,
            ..usual
        }
    }

    fn models(&mut self) -> ModelSettings {
        let settings = ModelSettings::read(self.lookup).unwrap_or_else(|message| {
            self.troubles.push(Trouble::new(message, "Correct it, or unset it."));
            ModelSettings::default()
        });
        if settings.providers.is_empty() {
            self.defaulted.push("no key of a model provider: agents work with the sandbox model".to_owned());
        }
        settings
    }

    fn tools(&mut self) -> ToolSettings {
        ToolSettings::read(self.lookup).unwrap_or_else(|wrong| {
            self.troubles.extend(wrong.into_iter().map(|what| Trouble::new(what, "Correct it, or unset it.")));
            ToolSettings::default()
        })
    }

    fn mail(&mut self) -> MailSettings {
        let settings = MailSettings::read(self.lookup);
        if settings.smtp_url.is_none() {
            self.defaulted.push("no mail server (SMTP_URL): messages stay in the local outbox".to_owned());
        }
        settings
    }

    fn retention_days(&mut self) -> i32 {
        let form = "a number of days up to 3650, or 0 to keep them for ever";
        let days = self.parsed("AGENTFLOW_RETENTION_DAYS", housekeeping::USUAL_DAYS, form);
        if !(0..=3_650).contains(&days) {
            let what = format!("AGENTFLOW_RETENTION_DAYS is {days}.");
            self.troubles.push(Trouble::new(what, format!("Set it to {form}.")));
        }
        days
    }

    fn notice_minutes(&mut self) -> Option<i32> {
        if self.text("AGENTFLOW_NOTICE_MINUTES").as_deref() == Some("off") {
            return None;
        }
        let form = "a number of minutes from 0 to 10080 (a week), or off";
        let minutes = self.parsed("AGENTFLOW_NOTICE_MINUTES", notices::USUAL_MINUTES, form);
        if !(0..=10_080).contains(&minutes) {
            let what = format!("AGENTFLOW_NOTICE_MINUTES is {minutes}.");
            self.troubles.push(Trouble::new(what, format!("Set it to {form}.")));
        }
        Some(minutes)
    }

    fn egress(&mut self) -> EgressSettings {
        let list = self.text("AGENTFLOW_ALLOWED_HOSTS").unwrap_or_default();
        let allowed = EgressSettings::parse_allowed(&list).unwrap_or_else(|message| {
            let message = format!("AGENTFLOW_ALLOWED_HOSTS: {message}");
            self.troubles.push(Trouble::new(message, "Set it to host:port, with commas between them."));
            Default::default()
        });
        // Ours, and never called: neither by name, nor (being private) by address.
        let host = |text: String| Url::parse(&text).ok().and_then(|url| url.host_str().map(str::to_owned));
        let own = [self.text("AGENTFLOW_PUBLIC_URL"), self.text("DATABASE_URL")];
        EgressSettings { allowed, own_hosts: own.into_iter().flatten().filter_map(host).collect() }
    }

    fn log(&mut self) -> Log {
        let format = match self.text("AGENTFLOW_LOG_FORMAT").as_deref() {
            None => LogFormat::Auto,
            Some("json") => LogFormat::Json,
            Some("text") => LogFormat::Text,
            Some(other) => {
                self.troubles.push(Trouble::new(
                    format!("AGENTFLOW_LOG_FORMAT is “{other}”."),
                    "Set it to json or text, or unset it.",
                ));
                LogFormat::Auto
            }
        };
        Log { filter: self.text("AGENTFLOW_LOG").unwrap_or_else(|| "info,sqlx=warn".to_owned()), format }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Vec<Trouble>> {
        Config::read(&|name| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_set_is_a_server_for_this_machine_with_a_private_database() {
        let config = read(&[("HOME", "/home/ada")]).unwrap();
        assert!(config.http.address.ip().is_loopback());
        assert!(config.database.url.is_none());
        assert_eq!(config.database.user_data_dir.unwrap(), Path::new("/home/ada/.local/share/agentflow"));
        assert_eq!(config.defaulted.len(), 5);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let troubles = read(&[
            ("AGENTFLOW_ADDRESS", "nowhere"),
            ("AGENTFLOW_PUBLIC_URL", "ftp://x"),
            ("DATABASE_URL", "mysql://x"),
            ("AGENTFLOW_LOG_FORMAT", "xml"),
            ("AGENTFLOW_SIGN_UP", "maybe"),
            ("AGENTFLOW_ADMIN_EMAIL", "ada@example.com"),
            ("AGENTFLOW_MASTER_KEY", "changeme"),
            ("AGENTFLOW_MASTER_KEY_OLD", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("AGENTFLOW_MASTER_KEY_FILE", "/etc/agentflow.key"),
        ])
        .unwrap_err();
        assert_eq!(troubles.len(), 9);
        let said: String = troubles.iter().map(ToString::to_string).collect();
        assert!(!said.contains("changeme") && !said.contains("AAAAA"), "{said}");
    }

    #[test]
    fn an_empty_value_is_no_value() {
        assert!(read(&[("DATABASE_URL", " ")]).unwrap().database.url.is_none());
    }
}
