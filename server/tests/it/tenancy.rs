//! The second wall: row-level security on every table of an organization, tried as another tenant. The tables come from
//! the database's own catalog, so a new one is tried too, and one that is built otherwise fails here.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use agentflow::{db::Db, kernel::OrgId};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use crate::world::World;

/// Tables that belong to no organization, each with its reason.
const NO_TENANT: [(&str, &str); 6] = [
    ("_sqlx_migrations", "the schema's history; no role of ours reads it"),
    ("nodes", "processes, which work for all organizations"),
    ("organizations", "the tenants themselves: their id is the organization"),
    ("sessions", "belong to people, before an organization is known"),
    ("sign_in_throttle", "belongs to addresses and accounts"),
    ("users", "people belong to several organizations"),
];

/// Unique without the organization in front, each with its reason.
const UNIQUE_EVERYWHERE: [(&str, &str); 1] =
    [("api_keys_secret_key", "a secret is looked up before its organization is known")];

/// Functions that run with their owner's rights, each with its reason.
const FINDERS: [(&str, &str); 1] = [(
    "runs_with_text",
    "no index of texts is used under row-level security: its role may look into one table, and it gives ids of the \
     transaction's own organization alone",
)];

/// What the sign-in's role may touch; everything else is closed to it.
const IDENTITY: [&str; 7] =
    ["api_keys", "approval_links", "memberships", "organizations", "sessions", "sign_in_throttle", "users"];

/// What the keeper's role, which sees all organizations, may change; everything else it may read at most.
const KEEPER: [&str; 17] = [
    "DELETE agent_memories",
    "DELETE approval_links",
    "DELETE approval_snoozes",
    "DELETE artifacts",
    "DELETE budget_accounts",
    "DELETE budget_reservations",
    "DELETE call_cache",
    "DELETE call_cache_hours",
    "DELETE context_entries",
    "DELETE credential_uses",
    "DELETE emails",
    "DELETE event_waits",
    "DELETE idempotency_keys",
    "DELETE inbound_events",
    "DELETE rate_limits",
    "DELETE runs",
    "UPDATE runs.retry_of",
];

async fn run(connection: &mut PgConnection, text: &str) -> Result<u64, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(connection).await.map(|done| done.rows_affected())
}

async fn rows(connection: &mut PgConnection, text: &str) -> Vec<PgRow> {
    sqlx::query(AssertSqlSafe(text.to_owned())).fetch_all(connection).await.expect("catalog")
}

async fn names(connection: &mut PgConnection, text: &str) -> Vec<String> {
    rows(connection, text).await.into_iter().map(|row| row.get(0)).collect()
}

/// The tables with an `organization_id`.
async fn tenant_tables(connection: &mut PgConnection) -> Vec<String> {
    names(
        connection,
        "select c.relname::text from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1",
    )
    .await
}

fn code(result: Result<u64, sqlx::Error>) -> String {
    match result {
        Ok(rows) => format!("{rows} rows"),
        Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        Err(error) => panic!("{error}"),
    }
}

/// A statement that inserts a row which only its organization tells from those of others: every value is made from the
/// column's type alone, so that a child always names the parent that the same organization has.
async fn insertion(connection: &mut PgConnection, table: &str, org: Uuid) -> String {
    let columns = rows(
        connection,
        &format!(
            "select a.attname::text, format_type(a.atttypid, null) from pg_attribute a
             where a.attrelid = 'public.{table}'::regclass and a.attnum > 0 and not a.attisdropped
               and a.attgenerated = ''
               and (a.attnotnull and not a.atthasdef or exists (
                   select from pg_constraint f
                   join pg_attribute t on t.attrelid = f.confrelid and t.attname = 'organization_id'
                   where f.contype = 'f' and f.conrelid = a.attrelid and a.attnum = any (f.conkey)))"
        ),
    )
    .await;
    let (mut into, mut values) = (Vec::new(), Vec::new());
    for column in columns {
        let (name, kind): (String, String) = (column.get(0), column.get(1));
        values.push(match (name.as_str(), kind.as_str()) {
            ("organization_id", _) => format!("'{org}'"),
            // The same person is in all organizations.
            (_, "uuid") => format!("'{}'", Uuid::from_u128(7)),
            (_, "text") => "'viewer'".to_owned(),
            (_, "integer" | "bigint" | "smallint" | "numeric" | "double precision") => "1".to_owned(),
            (_, "boolean") => "true".to_owned(),
            (_, "jsonb") => "'{}'".to_owned(),
            (_, "timestamp with time zone") => "now()".to_owned(),
            ("secret_hash", "bytea") => format!("decode(md5('{org}'), 'hex')"),
            (_, "bytea") => "'\\x07'".to_owned(),
            (_, array) if array.ends_with("[]") => "'{}'".to_owned(),
            (_, other) => panic!("{table}.{name}: say here what a value of type {other} looks like"),
        });
        into.push(name);
    }
    format!("insert into {table} ({}) values ({})", into.join(", "), values.join(", "))
}

/// Two organizations, and a connection of the role that owns the schema, without the checks on single values.
async fn two_tenants(world: &World) -> (PgConnection, Uuid, Uuid) {
    let mut owner = world.owner().await;
    let checks = rows(
        &mut owner,
        "select conrelid::regclass::text, conname::text from pg_constraint
         where contype = 'c' and connamespace = 'public'::regnamespace",
    )
    .await;
    for check in checks {
        let (table, name): (String, String) = (check.get(0), check.get(1));
        run(&mut owner, &format!("alter table {table} drop constraint {name}")).await.expect("drop a check");
    }
    let (ours, theirs) = (OrgId::new().uuid(), OrgId::new().uuid());
    for table in ["users", "organizations"] {
        run(&mut owner, &format!("alter table {table} no force row level security")).await.expect("no force");
    }
    let user = Uuid::from_u128(7);
    run(
        &mut owner,
        &format!(
            "insert into users (id, email, name, password_hash) values ('{user}', 'a@b.example', 'A', 'none');
             insert into organizations (id, name, slug) values ('{ours}', 'Ours', 'ours'), ('{theirs}', 'Theirs', 'theirs')"
        ),
    )
    .await
    .expect("people");
    for table in ["users", "organizations"] {
        run(&mut owner, &format!("alter table {table} force row level security")).await.expect("force");
    }
    (owner, ours, theirs)
}

/// One row of the organization in each tenant table, parents before children.
async fn fill(owner: &mut PgConnection, org: Uuid) {
    let mut open = tenant_tables(owner).await;
    while !open.is_empty() {
        let before = open.len();
        let mut left = Vec::new();
        for table in open {
            let insert = insertion(owner, &table, org).await;
            run(owner, &format!("alter table {table} no force row level security")).await.expect("no force");
            let done = run(owner, &format!("begin; set constraints all immediate; {insert}; commit")).await;
            if done.is_err() {
                run(owner, "rollback").await.expect("rollback");
            }
            run(owner, &format!("alter table {table} force row level security")).await.expect("force");
            match code(done).as_str() {
                "23503" => left.push(table),
                code => assert!(code.ends_with("rows"), "{table}: {code}: {insert}"),
            }
        }
        assert!(left.len() < before, "no row can be made in any of {left:?}");
        open = left;
    }
}

/// A connection with the app's role, working for an organization or for none.
async fn app(world: &World, org: Option<Uuid>) -> PgConnection {
    let mut connection = PgConnection::connect(world.database_url()).await.expect("connection");
    let org = org.map(|org| org.to_string()).unwrap_or_default();
    run(&mut connection, &format!("set role agentflow_app; set app.organization_id = '{org}'")).await.expect("role");
    connection
}

async fn may(connection: &mut PgConnection, table: &str, privilege: &str) -> bool {
    sqlx::query_scalar(
        "select has_table_privilege(current_user, $1, $2)
             or $2 <> 'delete' and has_any_column_privilege(current_user, $1, nullif($2, 'delete'))",
    )
    .bind(table)
    .bind(privilege)
    .fetch_one(connection)
    .await
    .expect("privilege")
}

#[tokio::test]
async fn another_tenants_rows_can_be_neither_read_nor_changed_nor_made_in_any_table() {
    let world = World::new().await;
    let (mut owner, ours, theirs) = two_tenants(&world).await;
    fill(&mut owner, ours).await;
    fill(&mut owner, theirs).await;
    let tables = tenant_tables(&mut owner).await;
    assert!(tables.len() >= 15, "{tables:?}");
    let mut us = app(&world, Some(ours)).await;
    let mut nobody = app(&world, None).await;
    for table in tables {
        let all = format!("select count(*) from {table}");
        assert_eq!(names_count(&mut us, &all).await, 1, "{table}: exactly one's own row");
        let foreign = format!("{all} where organization_id = '{theirs}'");
        assert_eq!(names_count(&mut us, &foreign).await, 0, "{table}: reads");
        assert_eq!(names_count(&mut nobody, &all).await, 0, "{table}: without an organization");
        if may(&mut us, &table, "update").await {
            let column = names(
                &mut us,
                &format!(
                    "select column_name::text from information_schema.column_privileges
                     where table_name = '{table}' and privilege_type = 'UPDATE' and grantee = 'agentflow_app'
                       -- What the database makes itself, nobody sets.
                       and column_name not in (
                           select attname from pg_attribute
                           where attrelid = '{table}'::regclass and (attgenerated <> '' or attidentity = 'a'))
                     limit 1"
                ),
            )
            .await
            .remove(0);
            let update = format!("update {table} set {column} = {column} where organization_id = '{theirs}'");
            assert_eq!(code(run(&mut us, &update).await), "0 rows", "{table}: changes");
            let steal = format!("update {table} set organization_id = '{theirs}'");
            assert!(["42501", "23503"].contains(&code(run(&mut us, &steal).await).as_str()), "{table}: gives away");
        }
        if may(&mut us, &table, "delete").await {
            let delete = format!("delete from {table} where organization_id = '{theirs}'");
            assert_eq!(code(run(&mut us, &delete).await), "0 rows", "{table}: removes");
        }
        let insert = insertion(&mut owner, &table, theirs).await;
        assert_eq!(code(run(&mut us, &insert).await), "42501", "{table}: makes");
        assert_eq!(code(run(&mut nobody, &insert).await), "42501", "{table}: makes without an organization");
    }
}

async fn names_count(connection: &mut PgConnection, text: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(text.to_owned())).fetch_one(connection).await.expect("count")
}

#[tokio::test]
async fn nothing_can_be_made_under_another_tenants_parent() {
    let world = World::new().await;
    let (mut owner, ours, theirs) = two_tenants(&world).await;
    // They have every parent; we have none.
    fill(&mut owner, theirs).await;
    let children = names(
        &mut owner,
        "select distinct f.conrelid::regclass::text from pg_constraint f
         join pg_attribute t on t.attrelid = f.confrelid and t.attname = 'organization_id'
         where f.contype = 'f' and f.connamespace = 'public'::regnamespace and f.conrelid <> f.confrelid",
    )
    .await;
    assert!(children.len() >= 6, "{children:?}");
    let mut us = app(&world, Some(ours)).await;
    let mut engine = app(&world, None).await;
    run(&mut engine, "set role agentflow_engine").await.expect("role");
    for table in children {
        let insert = insertion(&mut owner, &table, ours).await;
        let mut tried = false;
        for connection in [&mut us, &mut engine] {
            if may(connection, &table, "insert").await {
                tried = true;
                let done = run(connection, &format!("begin; set constraints all immediate; {insert}; commit")).await;
                run(connection, "rollback").await.expect("rollback");
                assert_eq!(code(done), "23503", "{table}");
            }
        }
        assert!(tried, "{table}: nobody can make a row in it");
    }
}

#[tokio::test]
async fn every_table_of_an_organization_is_built_the_same_way() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    let without_wall = names(
        &mut owner,
        "select relname::text from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
           and not (relrowsecurity and relforcerowsecurity) and relname <> '_sqlx_migrations'",
    )
    .await;
    assert!(without_wall.is_empty(), "row-level security is not enabled and forced: {without_wall:?}");
    let loose = names(
        &mut owner,
        "select i.indexrelid::regclass::text from pg_index i
         join pg_attribute o on o.attrelid = i.indrelid and o.attname = 'organization_id'
         join pg_class c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
         where i.indisunique and i.indkey[0] <> o.attnum",
    )
    .await;
    let known: Vec<&str> = UNIQUE_EVERYWHERE.iter().map(|(name, _)| *name).collect();
    assert_eq!(loose, known, "keys lead with the organization");
    let without_key = names(
        &mut owner,
        "select a.attrelid::regclass::text from pg_attribute a
         join pg_class c on c.oid = a.attrelid and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
         where a.attname = 'organization_id'
           and not (a.attnotnull and exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary))",
    )
    .await;
    assert!(without_key.is_empty(), "no primary key, or an organization that may be null: {without_key:?}");
    let crossing = names(
        &mut owner,
        "select f.conname::text from pg_constraint f
         join pg_attribute c on c.attrelid = f.conrelid and c.attname = 'organization_id'
         join pg_attribute p on p.attrelid = f.confrelid and p.attname = 'organization_id'
         where f.contype = 'f' and (f.conkey[1] <> c.attnum or f.confkey[1] <> p.attnum)",
    )
    .await;
    assert!(crossing.is_empty(), "references that can cross organizations: {crossing:?}");
    let outside = names(
        &mut owner,
        "select c.relname::text from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'organization_id')
         order by 1",
    )
    .await;
    let known: Vec<&str> = NO_TENANT.iter().map(|(name, _)| *name).collect();
    assert_eq!(outside, known, "a table without an organization needs a reason");
}

#[tokio::test]
async fn no_role_of_the_server_can_get_around_the_wall() {
    let world = World::new().await;
    let mut owner = world.owner().await;
    let strong = names(
        &mut owner,
        "select rolname::text from pg_roles
         where rolname in ('agentflow_app', 'agentflow_engine', 'agentflow_finder', 'agentflow_identity', 'agentflow_keeper')
           and (rolsuper or rolbypassrls or rolcanlogin or rolcreaterole or rolcreatedb)",
    )
    .await;
    assert!(strong.is_empty(), "{strong:?}");
    for role in ["agentflow_app", "agentflow_engine", "agentflow_finder", "agentflow_identity", "agentflow_keeper"] {
        let mut connection = PgConnection::connect(world.database_url()).await.expect("connection");
        run(&mut connection, &format!("set role {role}")).await.expect("role");
        assert_eq!(code(run(&mut connection, "create table own (id integer)").await), "42501", "{role} makes tables");
        assert_eq!(code(run(&mut connection, "alter table users disable row level security").await), "42501", "{role}");
        assert_eq!(code(run(&mut connection, "select count(*) from _sqlx_migrations").await), "42501", "{role}");
        let owned = names(
            &mut connection,
            &format!("select relname::text from pg_class where relowner = '{role}'::regrole and relkind in ('r', 'p')"),
        )
        .await;
        assert!(owned.is_empty(), "{role} owns {owned:?}");
    }
    let around = names(
        &mut owner,
        "select proname::text from pg_proc where pronamespace = 'public'::regnamespace and prosecdef
         union all
         select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')
             and not coalesce('security_invoker=true' = any (reloptions), false)",
    )
    .await;
    let known: Vec<&str> = FINDERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(around, known, "functions and views that run with their owner's rights");
    let finds = names(
        &mut owner,
        "select distinct privilege_type || ' ' || table_name from information_schema.column_privileges
         where grantee = 'agentflow_finder' order by 1",
    )
    .await;
    assert_eq!(finds, ["SELECT run_texts"], "the finder's role");
    let identity = names(
        &mut owner,
        "select distinct table_name::text from information_schema.column_privileges
         where grantee = 'agentflow_identity' order by 1",
    )
    .await;
    assert_eq!(identity, IDENTITY, "the sign-in's role");
    let keeper = names(
        &mut owner,
        "select privilege_type || ' ' || table_name from information_schema.table_privileges
         where grantee = 'agentflow_keeper' and table_schema = 'public' and privilege_type not in ('SELECT', 'UPDATE')
         union
         select privilege_type || ' ' || table_name || '.' || column_name from information_schema.column_privileges
         where grantee = 'agentflow_keeper' and table_schema = 'public' and privilege_type <> 'SELECT'
         order by 1",
    )
    .await;
    assert_eq!(keeper, KEEPER, "the keeper's role");
    let private = "select has_any_column_privilege('agentflow_keeper', 'users', 'select')
                       or has_column_privilege('agentflow_keeper', 'emails', 'body', 'select')
                       or has_column_privilege('agentflow_keeper', 'artifacts', 'body', 'select')";
    let readable: bool = sqlx::query_scalar(private).fetch_one(&mut owner).await.expect("privilege");
    assert!(!readable, "housekeeping reads nobody's messages and values");
    let hashes = "select has_column_privilege('agentflow_app', 'users', 'password_hash', 'select')
                      or has_column_privilege('agentflow_engine', 'users', 'password_hash', 'select')";
    let readable: bool = sqlx::query_scalar(hashes).fetch_one(&mut owner).await.expect("privilege");
    assert!(!readable, "password hashes are for the sign-in alone");
}

#[tokio::test]
async fn one_connection_that_serves_two_tenants_in_turns_mixes_nothing_up() {
    let world = World::new().await;
    let (mut owner, ours, theirs) = two_tenants(&world).await;
    fill(&mut owner, ours).await;
    fill(&mut owner, theirs).await;
    let db = Db::connect(world.database_url(), 1).await.expect("pools");
    for turn in 0..1_000 {
        let org = if turn % 2 == 0 { ours } else { theirs };
        let mut tx = db.tenant(OrgId::from_uuid(org)).await.expect("transaction");
        let seen: Vec<Uuid> =
            sqlx::query_scalar("select organization_id from agents").fetch_all(tx.conn()).await.expect("agents");
        assert_eq!(seen, [org]);
        // Some are committed, some are dropped, as when a client goes away.
        if turn % 3 != 0 {
            tx.commit().await.expect("commit");
        }
    }
    db.close().await;
}

/// What a future gives that is dropped where it is not done after the first time that it is asked and so many more.
async fn polled<T>(future: impl Future<Output = T>, mut more: usize) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if more == 0 => Poll::Ready(None),
        Poll::Pending => {
            more -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn who_is_dropped_while_a_transaction_begins_leaves_none_open() {
    let world = World::new().await;
    let (mut owner, ours, _) = two_tenants(&world).await;
    let db = Db::connect(world.database_url(), 2).await.expect("pools");
    let mut begun = 0;
    // Each one a step further than the one before.
    for polls in (0..30).cycle().take(600) {
        begun += u32::from(polled(db.tenant(OrgId::from_uuid(ours)), polls).await.is_some());
    }
    assert!((1..600).contains(&begun), "{begun} of 600 were there in time: none was dropped in the middle");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let open = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                   and state like 'idle in transaction%'";
    let open: i64 = sqlx::query_scalar(open).fetch_one(&mut owner).await.expect("sessions");
    assert_eq!(open, 0);
    db.close().await;
}
