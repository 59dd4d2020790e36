//! From nothing to ready: everything that the server needs, in order, and what is missing, wrong or defaulted said
//! plainly, with what to do about it.

use std::fmt;

use agentflow::{
    accounts::service::{self as accounts, NewAccount},
    db::{self, Db, PrepareError},
    jobs,
    models::ProviderSettings,
    runs::texts,
};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

use crate::{
    config::Config, http::session, master_key, postgres::Private, shutdown::Stop, state::State, workers::Role,
};

/// Something that keeps the server from starting: what it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    what: String,
    remedy: String,
}

impl Trouble {
    /// What is wrong, and what to do about it (may be empty).
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.remedy) }
    }
}

impl std::error::Error for Trouble {}

/// The database that the settings name, or the private one, open and brought to this version.
pub struct Database {
    /// The pools.
    pub db: Db,
    private: Option<Private>,
}

impl Database {
    /// Opens it: starts the private PostgreSQL if no other database is named, and migrates.
    ///
    /// # Errors
    /// When it cannot be reached or started, or belongs to a newer version.
    pub async fn open(config: &Config) -> Result<Self, Trouble> {
        let (url, private) = match &config.database.url {
            Some(url) => (url.expose_secret().to_owned(), None),
            None => {
                let private = Private::open(&config.database).await?;
                (private.url().to_owned(), Some(private))
            }
        };
        match connect(&url, config.database.connections).await {
            Ok(db) => Ok(Self { db, private }),
            Err(trouble) => {
                if let Some(private) = private {
                    private.close().await;
                }
                Err(trouble)
            }
        }
    }

    /// Closes the connections, then stops the private PostgreSQL.
    pub async fn close(self) {
        self.db.close().await;
        if let Some(private) = self.private {
            private.close().await;
        }
    }
}

/// Brings a database to this version and opens its pools.
///
/// # Errors
/// When it cannot be reached, or refuses the roles.
pub async fn connect(url: &str, connections: u32) -> Result<Db, Trouble> {
    db::prepare(url).await.map_err(|error| {
        let remedy = match error {
            PrepareError::Unreachable(_) => "Check DATABASE_URL, and that PostgreSQL is running and lets this user in.",
            _ => "",
        };
        Trouble::new(error.to_string(), remedy)
    })?;
    Db::connect(url, connections).await.map_err(|error| {
        Trouble::new(
            format!("The database refuses the roles that AgentFlow works with: {error}."),
            "Let the user of DATABASE_URL take on agentflow_app, agentflow_identity, agentflow_engine and agentflow_keeper.",
        )
    })
}

/// What a start leaves behind.
pub struct Started {
    /// What requests can reach.
    pub state: State,
    /// The open port.
    pub listener: TcpListener,
    /// The database, to be closed last.
    pub database: Database,
}

/// Starts everything but the workers and the service itself.
///
/// # Errors
/// The first thing that is missing or wrong.
pub async fn start(config: Config, stop: &Stop) -> Result<Started, Trouble> {
    for line in &config.defaulted {
        tracing::info!("not set: {line}");
    }
    if let Some(warning) = session::warning(&config.http.public_url) {
        tracing::warn!("{warning}");
    }
    for line in usable_models(&config) {
        tracing::info!("{line}");
    }
    // The port first: a second server by mistake is told so at once.
    let listener = listen(&config).await?;
    let database = Database::open(&config).await?;
    let made = match State::new(config, database.db.clone(), stop.clone()).await {
        Ok(state) => first_account(&state).await.map(|()| state),
        Err(trouble) => Err(trouble),
    };
    match made {
        Ok(state) => {
            tracing::info!("{}", master_key::said(&state.deps.vault));
            // Not waited for: mail is tried again later, and pages need none.
            let mail = state.deps.mail.clone();
            tokio::spawn(async move {
                if let Err(fault) = mail.check().await {
                    tracing::warn!("{fault} Check SMTP_URL.");
                }
            });
            Ok(Started { state, listener, database })
        }
        Err(trouble) => {
            database.close().await;
            Err(trouble)
        }
    }
}

/// Makes the account that the settings name, where nobody has one.
async fn first_account(state: &State) -> Result<(), Trouble> {
    let Some(first) = &state.config.accounts.first else { return Ok(()) };
    let new = NewAccount {
        name: first.name.clone(),
        email: first.email.clone(),
        password: first.password.expose_secret().to_owned(),
        organization: first.organization.clone(),
    };
    match accounts::create_first(&state.deps, new).await {
        Ok(Some(org)) => {
            tracing::info!(organization = %org.id, "the first account is made, of AGENTFLOW_ADMIN_EMAIL; it owns /o/{}/", org.slug);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) if error.fields.is_empty() => Err(Trouble::new(error.message, "")),
        Err(error) => {
            // The fields of a sign-up have the names of the settings.
            let fields = error.fields.iter();
            let lines =
                fields.map(|entry| format!("AGENTFLOW_ADMIN_{}: {}", entry.field.to_uppercase(), entry.message));
            Err(Trouble::new(
                lines.collect::<Vec<_>>().join("\n"),
                "The first account was not made. Correct it, or unset it.",
            ))
        }
    }
}

/// What the console says when the server is ready: the address and, as long as nobody has an account, the link to the
/// first one.
pub async fn greeting(state: &State, role: Role) -> String {
    let url = &state.config.http.public_url;
    let mut words = format!("AgentFlow is ready: {url}\n");
    // Only this process knows the link: one without pages shows none.
    if role.serves() && matches!(accounts::has_accounts(&state.deps).await, Ok(false)) {
        let mut link = url.clone();
        link.set_path("/signup");
        link.set_query(Some(&format!("first={}", state.deps.sign_ups.first())));
        words.push_str(&format!("There is no account yet. The first one is made here: {link}\n"));
    }
    words + "Stop it with Ctrl-C.\n"
}

/// What agents can use besides the sandbox model. No provider is called: that would cost.
fn usable_models(config: &Config) -> Vec<String> {
    let line = |provider: &ProviderSettings| {
        let key = if provider.key.is_some() { "a key is set" } else { "no key, as its address needs none" };
        let models = match provider.models.as_slice() {
            [] => "those of the price table".to_owned(),
            models => models.join(", "),
        };
        format!("models of {}: {key}; offered: {models}", provider.label)
    };
    config.models.providers.iter().map(line).collect()
}

async fn listen(config: &Config) -> Result<TcpListener, Trouble> {
    let address = config.http.address;
    TcpListener::bind(address).await.map_err(|error| {
        Trouble::new(
            format!("Cannot listen on {address}: {error}."),
            "Stop what uses this port, or choose another one with AGENTFLOW_ADDRESS.",
        )
    })
}

/// Brings the database to this version.
///
/// # Errors
/// When it cannot be reached, or belongs to a newer version.
pub async fn migrate(config: Config) -> Result<(), Trouble> {
    Database::open(&config).await?.close().await;
    println!("The database is up to date.");
    Ok(())
}

/// Checks everything that a start needs, and says what to do about each thing that is wrong.
///
/// # Errors
/// The first thing that keeps the server from starting.
pub async fn doctor(config: Config) -> Result<(), Trouble> {
    println!("ok        the settings can be read");
    for line in &config.defaulted {
        println!("default   {line}");
    }
    for line in usable_models(&config) {
        println!("ok        {line}");
    }
    match listen(&config).await {
        Ok(_) => println!("ok        {} is free", config.http.address),
        Err(trouble) => println!("busy      {trouble} (a server that runs already is fine)"),
    }
    let database = Database::open(&config).await?;
    println!("ok        the database answers, is up to date, and keeps what it confirms");
    match jobs::failed_for_good(database.db.keeper()).await {
        Ok(failed) if failed.is_empty() => println!("ok        no background job has failed for good"),
        Ok(failed) => {
            for (name, count) in failed {
                println!("failed    {count} background jobs “{name}” were tried as often as they may be");
            }
        }
        Err(error) => println!("wrong     the job queue cannot be read: {}", error.message),
    }
    match texts::is_indexed(database.db.keeper()).await {
        Ok(true) => println!("ok        texts of runs are found by an index"),
        Ok(false) => println!(
            "slow      texts of runs are found by reading all of them: the database had no pg_trgm, or its owner not the \
             role agentflow_finder, when its tables were made"
        ),
        Err(error) => println!("wrong     the texts of runs cannot be read: {}", error.message),
    }
    let checked = State::new(config, database.db.clone(), Stop::default()).await;
    if let Ok(state) = &checked {
        let mark = if state.deps.vault.can_seal() { "ok       " } else { "missing  " };
        println!("{mark} {}", master_key::said(&state.deps.vault));
        match state.deps.mail.check().await {
            Err(fault) => println!("wrong     {fault} Check SMTP_URL."),
            Ok(()) if state.deps.mail.has_server() => println!("ok        the mail server lets us in"),
            // Told above as a default.
            Ok(()) => {}
        }
        match state.assets.wasm.is_empty() {
            true => println!("missing   the browser's half: this binary was built by cargo alone, not by `make build`"),
            false => println!("ok        the browser's half is part of this binary"),
        }
    }
    database.close().await;
    checked.map(drop)
}
