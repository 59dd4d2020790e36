//! Everything of one test: the database, the processes, the outside, the place. And a watch that looks for orphans.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::PgPool;

use crate::{
    client::Client,
    options::{Extent, Options},
    outside::Outside,
    place::Place,
    postgres::Postgres,
    processes::{Fleet, REAPER_MS, Settings},
    report::Part,
};

/// Everything of one test.
pub struct Arena {
    /// What was asked for.
    pub options: Options,
    /// How much of each thing.
    pub extent: Extent,
    /// The processes.
    pub fleet: Arc<Fleet>,
    /// What they are started with.
    pub settings: Settings,
    /// The outside.
    pub outside: Outside,
    /// The organization and its workflows.
    pub place: Arc<Place>,
    /// The program that uses the API.
    pub client: Arc<Client>,
    /// The tables, for the operator.
    pub tables: PgPool,
    /// The database. Stopped last.
    pub postgres: Arc<Postgres>,
}

impl Arena {
    /// Makes all of it and starts three processes.
    pub async fn make(options: Options) -> Arc<Self> {
        let extent = options.extent();
        let postgres = Arc::new(Postgres::make(options.postgres.clone()).await);
        let outside = Outside::start().await;
        let binary = options.binary.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_agentflow").into());
        let settings = Settings {
            binary,
            database_url: postgres.url("agentflow"),
            tools: outside.address.to_string(),
            model: format!("http://{}/v1", outside.address),
        };
        let place = Arc::new(Place::make(&settings, extent.approvals.1).await);
        let fleet = Arc::new(Fleet::new(settings.clone(), &["all", "all", "all"]));
        outside.watch(&fleet);
        assert!(fleet.start_all().await, "the processes do not start");
        let tables = postgres.operator("agentflow").await;
        let client = Client::new(fleet.clone(), place.clone());
        Arc::new(Self { extent, fleet, client, settings, outside, place, tables, postgres, options })
    }

    /// Processes of these roles for an empty database of their own, none of them started. Those of this arena end: the
    /// outside knows one fleet at a time.
    pub async fn other_fleet(&self, database: &str, roles: &[&'static str]) -> Arc<Fleet> {
        self.fleet.kill_all().await;
        self.postgres.create(database).await;
        let settings = Settings { database_url: self.postgres.url(database), ..self.settings.clone() };
        Arc::new(Fleet::new(settings, roles))
    }

    /// An arena of such a fleet, whose database has the schema by now.
    pub async fn elsewhere(&self, database: &str, fleet: Arc<Fleet>) -> Arc<Self> {
        let settings = Settings { database_url: self.postgres.url(database), ..self.settings.clone() };
        let place = Arc::new(Place::make(&settings, 3).await);
        self.outside.watch(&fleet);
        Arc::new(Self {
            options: self.options.clone(),
            extent: self.extent,
            client: Client::new(fleet.clone(), place.clone()),
            fleet,
            settings,
            outside: self.outside.clone(),
            place,
            tables: self.postgres.operator(database).await,
            postgres: self.postgres.clone(),
        })
    }

    /// The processes of this arena are there again.
    pub async fn return_from(&self, other: &Self) {
        other.fleet.kill_all().await;
        self.outside.watch(&self.fleet);
        assert!(self.fleet.start_all().await, "the processes do not start again");
    }
}

/// Looks for runs that nobody owns any more and that are called running all the same.
pub struct OrphanWatch {
    oldest_ms: Arc<AtomicI64>,
    ends: Arc<AtomicBool>,
}

impl OrphanWatch {
    /// Begins to look.
    pub fn begin(arena: &Arena) -> Self {
        let watch = Self { oldest_ms: Arc::default(), ends: Arc::default() };
        let (tables, fleet) = (arena.tables.clone(), arena.fleet.clone());
        let (oldest, ends) = (watch.oldest_ms.clone(), watch.ends.clone());
        tokio::spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                // Somebody must have been there for long enough to notice.
                let since = Instant::now().checked_sub(Duration::from_millis(2 * REAPER_MS + 1_000));
                let settled = since
                    .is_some_and(|since| fleet.working().into_iter().any(|place| fleet.was_calm_since(place, since)));
                if let Some(age) = oldest_orphan(&tables).await.filter(|_| settled) {
                    oldest.fetch_max(age, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        watch
    }

    /// Puts down what was seen.
    pub async fn end(self, part: &mut Part, tables: &PgPool) {
        self.ends.store(true, Ordering::Relaxed);
        let left = oldest_orphan(tables).await.filter(|age| *age > 0);
        let oldest = self.oldest_ms.load(Ordering::Relaxed);
        let limit = i64::try_from(REAPER_MS + 1_000).unwrap_or(i64::MAX);
        part.note(
            "G8",
            format!("oldest orphan {oldest} ms past its lease, at the end {}", usize::from(left.is_some())),
        );
        part.find_if(oldest > limit, "G8", || format!("a run was without an owner for {oldest} ms past the lease"));
        part.find_if(left.is_some(), "G8", || "runs without an owner are left at the end".to_owned());
    }
}

/// Milliseconds since the lease of some run's owner ran out; 0: there is none.
async fn oldest_orphan(tables: &PgPool) -> Option<i64> {
    sqlx::query_scalar(
        "select coalesce(max((extract(epoch from clock_timestamp() - n.lease_until) * 1000)::bigint), 0)
           from runs r join nodes n on n.id = r.owner where n.lease_until < clock_timestamp()",
    )
    .fetch_one(tables)
    .await
    .ok()
}
