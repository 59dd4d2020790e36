//! What the operator does on the command line: `agentflow admin …`. Secrets go to standard output alone, everything else
//! to standard error, so that a script can keep a secret in a variable.

use std::io::{IsTerminal, Read};

use agentflow::{
    accounts::{
        PASSWORD_LENGTH,
        service::{self as accounts, NewAccount},
    },
    credentials::rotation,
    deps::Deps,
    kernel::Error,
    keys::service::{self as keys, Wish},
    orgs,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;

use crate::{
    config::Config,
    shutdown::Stop,
    startup::{Database, Trouble},
    state::State,
};

/// What the operator does.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Make an account with its first organization. The password is read from standard input; on a terminal one is made
    CreateUser {
        /// The address to sign in with
        #[arg(long)]
        email: String,
        /// The person's name
        #[arg(long)]
        name: String,
        /// The organization's name
        #[arg(long)]
        organization: String,
    },
    /// Make an API key, and print it: it is not shown again
    CreateKey {
        /// The organization: `acme` in https://…/o/acme/
        #[arg(long)]
        organization: String,
        /// What the key is for
        #[arg(long)]
        name: String,
        /// What it may do: viewer, member or admin
        #[arg(long, default_value = "member")]
        role: String,
        /// How many days it lives
        #[arg(long, default_value_t = 90)]
        days: i32,
    },
    /// Set a new password and end all sessions. It is read from standard input; on a terminal one is made
    ResetPassword {
        /// The account's address
        #[arg(long)]
        email: String,
    },
    /// Bring all credentials under AGENTFLOW_MASTER_KEY, from the keys in AGENTFLOW_MASTER_KEY_OLD. Servers go on meanwhile
    RotateMasterKey,
}

impl Admin {
    /// Does it, and closes the database again.
    ///
    /// # Errors
    /// When the database cannot be opened, or the product refuses.
    pub async fn run(self, config: Config) -> Result<(), Trouble> {
        let database = Database::open(&config).await?;
        let done = match State::new(config, database.db.clone(), Stop::default()).await {
            Ok(state) => self.act(&state.deps).await,
            Err(trouble) => Err(trouble),
        };
        database.close().await;
        done
    }

    async fn act(self, deps: &Deps) -> Result<(), Trouble> {
        match self {
            Self::CreateUser { email, name, organization } => {
                let secret = Password::read()?;
                let new = NewAccount { name, email, password: secret.text.clone(), organization };
                let org = accounts::create(deps, new).await.map_err(trouble)?;
                eprintln!("The account and the organization “{}” (/o/{}/) are made.", org.name, org.slug);
                secret.show();
            }
            Self::CreateKey { organization, name, role, days } => {
                let org = orgs::service::by_slug(deps, &organization).await.map_err(trouble)?;
                let key = keys::create_as_operator(deps, org.id, &Wish { name, role, days }).await.map_err(trouble)?;
                eprintln!("The key “{}” of {} lives {days} days. It is not shown again:", key.name, org.name);
                println!("{}", key.secret);
            }
            Self::ResetPassword { email } => {
                let secret = Password::read()?;
                accounts::reset_password(deps, &email, &secret.text).await.map_err(trouble)?;
                eprintln!("The password is set, and all sessions of {email} have ended.");
                secret.show();
            }
            Self::RotateMasterKey => {
                let rotation::Rotated { data_keys, credentials, damaged } =
                    rotation::rotate(&deps.vault).await.map_err(trouble)?;
                eprintln!("{data_keys} data keys were wrapped anew, and {credentials} credentials sealed anew.");
                if damaged > 0 {
                    eprintln!(
                        "{damaged} credentials do not open with any key; the log names them. Replace their values."
                    );
                }
                eprintln!("AGENTFLOW_MASTER_KEY_OLD can be unset once every server was started with the new key.");
            }
        }
        Ok(())
    }
}

/// A new password, given or made.
struct Password {
    text: String,
    made: bool,
}

impl Password {
    /// The first line of standard input; on a terminal, where it would be seen, a random one.
    fn read() -> Result<Self, Trouble> {
        let input = std::io::stdin();
        if input.is_terminal() {
            return Ok(Self { text: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 15]>()), made: true });
        }
        let mut text = String::new();
        // Letters have four bytes at most.
        let most = PASSWORD_LENGTH.end() * 4 + 2;
        input
            .take(most as u64)
            .read_to_string(&mut text)
            .map_err(|error| Trouble::new(format!("The password cannot be read from standard input: {error}."), ""))?;
        Ok(Self { text: text.lines().next().unwrap_or_default().to_owned(), made: false })
    }

    fn show(&self) {
        if self.made {
            eprintln!("Its password, which is not shown again:");
            println!("{}", self.text);
        }
    }
}

/// What the product says, with each field at fault on a line of its own.
fn trouble(error: Error) -> Trouble {
    if error.fields.is_empty() {
        return Trouble::new(error.message, "");
    }
    let lines: Vec<String> = error.fields.iter().map(|entry| format!("{}: {}", entry.field, entry.message)).collect();
    Trouble::new(lines.join("\n"), "")
}
