//! The database: four pools, one per role that the server takes on, and the transactions that services work in.
//!
//! Nothing here reads the environment. Statements live in the features' `store.rs`; this file has only what opens,
//! migrates and closes.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    jobs,
    kernel::{Error, OrgId, Result},
};

/// The schema's history, from `migrations/`.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// The advisory lock of whoever brings a database to its version.
const MIGRATING: i64 = 7_033_601;

/// The indexes that migrations build without a transaction, while the version before is at work.
const BUILT_CONCURRENTLY: [&str; 3] = ["runs_ended_at", "runs_labelled", "run_events_logs_by_time"];

/// Why a database cannot be used.
#[derive(Debug)]
pub enum PrepareError {
    /// It does not answer, or refuses.
    Unreachable(sqlx::Error),
    /// A newer AgentFlow has been at work in it.
    Newer(i64),
    /// A step of its history is not the one that this version knows.
    Changed(i64),
    /// A step failed.
    Failed(sqlx::migrate::MigrateError),
    /// The job queue's schema could not be made, or brought to this version.
    Queue(String),
    /// It may confirm what it has not kept: `synchronous_commit` is this.
    NotDurable(String),
}

impl std::fmt::Display for PrepareError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "The database cannot be reached: {error}."),
            Self::Newer(version) => write!(
                f,
                "The database belongs to a newer version of AgentFlow (it has had migration {version}, which this \
                 version does not know). Start that version, or restore a backup."
            ),
            Self::Changed(version) => write!(
                f,
                "Migration {version} of the database is not the one that this version of AgentFlow knows. Start the \
                 version that made this database, or use a new one."
            ),
            Self::Failed(error) => write!(f, "The database could not be brought to this version: {error}."),
            Self::Queue(error) => write!(f, "The job queue could not be brought to this version: {error}."),
            Self::NotDurable(value) => write!(
                f,
                "The database is set to synchronous_commit = {value}: a power cut could lose what was confirmed. \
                 Set it to on."
            ),
        }
    }
}

impl std::error::Error for PrepareError {}

/// Brings a database to this version, one server at a time, and makes sure that it keeps what it confirms.
///
/// # Errors
/// When the database does not answer, is newer than this version, or is not durable.
pub async fn prepare(url: &str) -> Result<(), PrepareError> {
    use sqlx::migrate::MigrateError;
    let options = PgConnectOptions::from_str(url).map_err(PrepareError::Unreachable)?.application_name("agentflow");
    let mut connection = PgConnection::connect_with(&options).await.map_err(PrepareError::Unreachable)?;
    let (durability,): (String,) = sqlx::query_as("show synchronous_commit")
        .fetch_one(&mut connection)
        .await
        .map_err(PrepareError::Unreachable)?;
    if !matches!(durability.as_str(), "on" | "remote_apply") {
        return Err(PrepareError::NotDurable(durability));
    }
    alone(&mut connection).await.map_err(PrepareError::Unreachable)?;
    clear(&mut connection).await.map_err(PrepareError::Unreachable)?;
    let migrated = MIGRATOR.run(&mut connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => PrepareError::Newer(version),
        MigrateError::VersionMismatch(version) => PrepareError::Changed(version),
        other => PrepareError::Failed(other),
    });
    let prepared = match migrated {
        Ok(()) => {
            jobs::prepare(&mut connection, &options).await.map_err(|error| PrepareError::Queue(error.to_string()))
        }
        Err(error) => Err(error),
    };
    drop(connection.close().await);
    prepared
}

/// Of several servers that start at once, one migrates and the others wait. Free again when the connection ends.
///
/// They ask again and again: a statement that waits for the lock would be waited for in turn by an index that is built
/// concurrently, and neither would ever go on.
async fn alone(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let lock = "select pg_try_advisory_lock($1)";
    while !sqlx::query_scalar::<_, bool>(lock).bind(MIGRATING).fetch_one(&mut *connection).await? {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Removes what is left of the building of an index that was broken off: it would count as there, and never be used.
/// Nobody builds one now, as they are built by the one who migrates.
async fn clear(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let broken: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
         where not i.indisvalid and pg_table_is_visible(c.oid) and c.relname::text = any($1)",
    )
    .bind(BUILT_CONCURRENTLY.as_slice())
    .fetch_all(&mut *connection)
    .await?;
    for index in broken {
        connection.execute(sqlx::AssertSqlSafe(format!("drop index concurrently if exists {index}"))).await?;
    }
    Ok(())
}

/// Makes the role and the database of a cluster that is AgentFlow's own, if they are not there. The role owns the
/// database, and is no superuser.
///
/// # Errors
/// When the cluster refuses.
pub async fn found(mut superuser: PgConnection) -> Result<(), sqlx::Error> {
    let statements = [
        ("select 1 from pg_roles where rolname = 'agentflow'", "create role agentflow login createrole createdb"),
        ("select 1 from pg_database where datname = 'agentflow'", "create database agentflow owner agentflow"),
    ];
    for (exists, make) in statements {
        if sqlx::query(exists).fetch_optional(&mut superuser).await?.is_none() {
            sqlx::query(make).execute(&mut superuser).await?;
        }
    }
    superuser.close().await
}

/// Connections of the keeper: two jobs at a time, who listens for new ones, and who looks after time and the dead.
const KEEPERS: u32 = 5;

/// The engine's statements are few and all go by an index: each is planned once, not anew for every write; and a plan that
/// was made while a table was small must not read the whole of it later.
const ENGINE: &str = "; set plan_cache_mode = force_generic_plan; set enable_seqscan = off";

/// The four pools. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    app: PgPool,
    identity: PgPool,
    engine: PgPool,
    keeper: PgPool,
}

impl Db {
    /// Opens the pools. `connections` is the most that each of the app's and the engine's pools may hold.
    ///
    /// # Errors
    /// When the address is wrong or the database cannot be reached.
    pub async fn connect(url: &str, connections: u32) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("agentflow");
        Ok(Self {
            app: pool(&options, "agentflow_app", connections, "").await?,
            identity: pool(&options, "agentflow_identity", connections.div_ceil(2), "").await?,
            engine: pool(&options, "agentflow_engine", connections, ENGINE).await?,
            keeper: pool(&options, "agentflow_keeper", KEEPERS, "").await?,
        })
    }

    /// A transaction that sees this organization and no other.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tenant(&self, org: OrgId) -> Result<TenantTx> {
        // In one message: a transaction of a tenant costs no round trip more than another one.
        let begin = format!("begin; select set_config('app.organization_id', '{}', true)", org.uuid());
        Ok(TenantTx { tx: begin_with(&self.app, Some(begin)).await?, org })
    }

    /// A transaction of the sign-in: people and what they belong to, before an organization is known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn identity(&self) -> Result<IdentityTx> {
        Ok(IdentityTx { tx: begin(&self.identity).await? })
    }

    /// The engine's pool.
    #[must_use]
    pub fn engine(&self) -> &PgPool {
        &self.engine
    }

    /// The pool of the job queue and of housekeeping.
    #[must_use]
    pub fn keeper(&self) -> &PgPool {
        &self.keeper
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("select 1").execute(&self.app).await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.app.close().await;
        self.identity.close().await;
        self.engine.close().await;
        self.keeper.close().await;
    }
}

/// Begins a transaction of a pool. See [`Db::tenant`] for one that works for an organization.
///
/// # Errors
/// When the database does not answer.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>> {
    begin_with(pool, None).await
}

/// In a task of its own, which goes on when whoever wants the transaction is dropped meanwhile: as sqlx 0.9 has it, the
/// connection would else go back to the pool with a transaction on it that nobody knows of.
#[expect(clippy::disallowed_methods, reason = "this is where transactions begin")]
async fn begin_with(pool: &PgPool, statement: Option<String>) -> Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    let begin = tokio::spawn(async move {
        match statement {
            Some(statement) => pool.begin_with(sqlx::AssertSqlSafe(statement)).await,
            None => pool.begin().await,
        }
    });
    Ok(begin.await.map_err(Error::internal)??)
}

async fn pool(
    options: &PgConnectOptions,
    role: &'static str,
    connections: u32,
    settings: &'static str,
) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        // A database that is away is said so soon, not after half a minute.
        .acquire_timeout(Duration::from_millis(2_500))
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection
                    .execute(sqlx::AssertSqlSafe(format!(
                        "set role {role}; set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s'{settings}"
                    )))
                    .await?;
                Ok(())
            })
        })
        .connect_with(options.clone())
        .await
}

/// A transaction that works for one organization. What it reads and writes is scoped twice: by each statement's own
/// `organization_id = $1`, and by row-level security.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    org: OrgId,
}

impl TenantTx {
    /// The organization it works for.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.org
    }

    /// The connection, for a store's statement.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Makes it so. A failure here means *unknown*: read again before trying again.
    ///
    /// # Errors
    /// When the database did not confirm.
    pub async fn commit(self) -> Result<()> {
        self.tx.commit().await.map_err(Error::from)
    }
}

/// A transaction of the sign-in.
#[derive(Debug)]
pub struct IdentityTx {
    tx: Transaction<'static, Postgres>,
}

impl IdentityTx {
    /// The connection, for a store's statement.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Makes it so. A failure here means *unknown*: read again before trying again.
    ///
    /// # Errors
    /// When the database did not confirm.
    pub async fn commit(self) -> Result<()> {
        self.tx.commit().await.map_err(Error::from)
    }
}
