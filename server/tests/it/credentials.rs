//! Credentials: sealed, opened for a call alone, and shown nowhere.

use std::time::Duration;

use agentflow::{
    access::Role,
    credentials::{
        MasterKey, MasterKeys, Opened, Unfit, Use, Vault,
        rotation::{Rotated, rotate},
        service::{self, NewCredential},
    },
    db::Db,
    engine::state::{ErrorClass, StepError},
    guardrails::Known,
    housekeeping::Sweep,
    jobs::Chore,
    kernel::{CredentialId, OrgId},
};
use app::integrations::api::{
    AddCredential, ChangeCredential, DisconnectCredential, LoadIntegrations, RemoveCredential,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use leptos::server_fn::ServerFn;
use secrecy::ExposeSecret;
use server::{State, config::Config, shutdown::Stop};
use sqlx::{AssertSqlSafe, Row};

use crate::{
    models::scope,
    office::Office,
    people::Person,
    world::{Reply, World},
};

/// A world whose server has a master key.
pub async fn with_key(settings: &[(&str, &str)]) -> (World, MasterKey) {
    let key = MasterKey::generate();
    let text = key.export();
    let mut all = vec![("AGENTFLOW_MASTER_KEY", text.as_str())];
    all.extend(settings);
    (World::with(&all).await, key)
}

/// Keeps a token for `api.example.com`.
async fn keep(office: &Office, name: &str, secret: &str) -> CredentialId {
    let new = NewCredential {
        name: name.to_owned(),
        kind: "bearer".to_owned(),
        detail: String::new(),
        hosts: "api.example.com".to_owned(),
        secret: secret.into(),
    };
    let owner = office.owner.clone().with_sign_in(true);
    service::create(&owner.fresh_grant("store a secret").unwrap(), &new).await.unwrap()
}

async fn open(vault: &Vault, org: OrgId, credential: CredentialId, host: &str) -> Result<Opened, StepError> {
    vault.open(&Use { org, credential, host, purpose: "tool crm_lookup", scope: None }).await
}

async fn value(vault: &Vault, org: OrgId, credential: CredentialId) -> Result<String, String> {
    let opened = open(vault, org, credential, "api.example.com").await;
    opened.map(|opened| opened.secret.expose_secret().to_owned()).map_err(|error| error.code)
}

/// A statement of whoever owns the schema, who sees all organizations' rows.
pub async fn sql(world: &World, text: &str) {
    let all = "do $$ declare t regclass; begin
                 for t in select oid from pg_class where relnamespace = 'public'::regnamespace and relforcerowsecurity
                 loop execute format('alter table %s no force row level security', t); end loop; end $$";
    let mut owner = world.owner().await;
    for text in [all, text] {
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut owner).await.expect("statement");
    }
}

pub async fn count(world: &World, what: &str) -> i64 {
    sql(world, "select").await;
    let text = format!("select count(*) from {what}");
    sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut world.owner().await).await.expect("count")
}

/// All that the database holds, as text.
pub async fn dump(world: &World) -> String {
    sql(world, "select").await;
    let mut owner = world.owner().await;
    let tables = "select schemaname || '.' || quote_ident(tablename) from pg_tables
                  where schemaname not in ('pg_catalog', 'information_schema')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut owner).await.unwrap();
    assert!(tables.len() > 20);
    let mut dump = String::new();
    for table in tables {
        let rows = format!("select t::text from {table} t");
        for row in sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut owner).await.unwrap() {
            dump.push_str(&row.get::<String, _>(0));
            dump.push('\n');
        }
    }
    dump
}

#[tokio::test]
async fn the_same_secret_twice_has_other_bytes_and_no_ciphertext_opens_in_another_place() {
    let (world, _) = with_key(&[]).await;
    let (acme, rival) = (Office::new(&world, "Acme").await, Office::new(&world, "Rival").await);
    let one = keep(&acme, "One", "the-same-secret").await;
    let two = keep(&acme, "Two", "the-same-secret").await;
    let theirs = keep(&rival, "One", "the-same-secret").await;
    let (vault, org, other) = (&world.deps().vault, acme.owner.org_id(), rival.owner.org_id());
    assert_eq!(value(vault, org, one).await.as_deref(), Ok("the-same-secret"));
    assert_eq!(count(&world, "(select distinct sealed from credentials) as s").await, 3);

    // Between rows of one organization, between organizations, and with the data key of the other one as well.
    let swap = |from: CredentialId, to: CredentialId| {
        format!(
            "update credentials set sealed = (select sealed from credentials where id = '{}') where id = '{}'",
            from.uuid(),
            to.uuid()
        )
    };
    sql(&world, &swap(one, two)).await;
    assert_eq!(value(vault, org, two).await, Err("credentials.sealed".to_owned()));
    sql(&world, &swap(one, theirs)).await;
    assert_eq!(value(vault, other, theirs).await, Err("credentials.sealed".to_owned()));
    let keys = format!(
        "update data_keys set wrapped = (select wrapped from data_keys where organization_id = '{}')
         where organization_id = '{}'",
        org.uuid(),
        other.uuid()
    );
    sql(&world, &keys).await;
    assert_eq!(value(vault, other, theirs).await, Err("credentials.sealed".to_owned()));
    // Another version's key, and a single bit.
    sql(
        &world,
        &format!(
            "insert into data_keys select organization_id, 2, master_key_id, wrapped from data_keys
             where organization_id = '{}';
             update credentials set key_version = 2 where id = '{}'",
            org.uuid(),
            one.uuid()
        ),
    )
    .await;
    assert_eq!(value(vault, org, one).await, Err("credentials.sealed".to_owned()));
    // A person sees it.
    let listed = service::list(&acme.owner.grant().unwrap()).await.unwrap();
    assert!(listed.iter().all(|one| one.error.as_deref().is_some_and(|why| why.contains("Replace its value"))));
}

#[tokio::test]
async fn the_master_key_is_rotated_while_credentials_are_opened_and_after_any_stop() {
    let (world, old) = with_key(&[]).await;
    let new = MasterKey::generate();
    let mut kept = Vec::new();
    for name in ["Acme", "Rival"] {
        let office = Office::new(&world, name).await;
        for number in 0..60 {
            let secret = format!("secret-{name}-{number}");
            kept.push((office.owner.org_id(), keep(&office, &format!("N{number}"), &secret).await, secret));
        }
    }
    let db = Db::connect(world.database_url(), 4).await.unwrap();
    let both = MasterKeys { current: Some(new.clone()), others: vec![old.clone()] };
    let vault = Vault::new(db.clone(), both, Known::default());
    vault.check().await.unwrap();
    let stop = Stop::default();
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (vault, kept, stop) = (vault.clone(), kept.clone(), stop.clone());
            tokio::spawn(async move {
                let mut opened = 0;
                while !stop.is_requested() {
                    let (org, id, secret) = &kept[(opened * 7 + reader * 31) % kept.len()];
                    assert_eq!(value(&vault, *org, *id).await.as_ref(), Ok(secret));
                    opened += 1;
                }
                opened
            })
        })
        .collect();
    // Stopped again and again, each time somewhere else.
    let mut stopped = 0;
    for ms in 1.. {
        match tokio::time::timeout(Duration::from_millis(ms * 3), rotate(&vault)).await {
            Ok(done) => {
                assert_eq!(done.unwrap().damaged, 0);
                break;
            }
            Err(_) => stopped += 1,
        }
    }
    assert!(stopped > 1, "it was never stopped in the middle");
    assert_eq!(rotate(&vault).await.unwrap(), Rotated::default(), "there is nothing left to do");
    stop.request();
    let mut opened = 0;
    for reader in readers {
        opened += reader.await.expect("no reader failed");
    }
    assert!(opened > 10, "{opened}");
    // The old key opens nothing any more, and is not needed.
    let alone = Vault::new(db.clone(), MasterKeys { current: Some(new), others: Vec::new() }, Known::default());
    alone.check().await.unwrap();
    for (org, id, secret) in &kept {
        assert_eq!(value(&alone, *org, *id).await.as_ref(), Ok(secret));
    }
    let before = Vault::new(db, MasterKeys { current: Some(old), others: Vec::new() }, Known::default());
    assert!(matches!(before.check().await, Err(Unfit::Other(keys)) if keys.len() == 1));
    assert_eq!(value(&before, kept[0].0, kept[0].1).await, Err("credentials.sealed".to_owned()));
    assert_eq!(count(&world, "data_keys where version = 2").await, 2);
    assert_eq!(count(&world, "data_keys where version = 1").await, 0);
}

/// Starts a server's state on the world's database with these settings besides.
async fn start(world: &World, settings: &[(&str, &str)]) -> Result<(), String> {
    let config = Config::read(&|name| match name {
        "DATABASE_URL" => Some(world.database_url().to_owned()),
        name => settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
    });
    let config = config.map_err(|troubles| troubles.iter().map(ToString::to_string).collect::<String>())?;
    let db = Db::connect(world.database_url(), 2).await.unwrap();
    State::new(config, db, Stop::default()).await.map(drop).map_err(|trouble| trouble.to_string())
}

#[tokio::test]
async fn a_server_with_a_wrong_key_or_none_does_not_start_where_something_is_sealed() {
    let (world, key) = with_key(&[]).await;
    let (key, other) = (key.export(), MasterKey::generate().export());
    start(&world, &[]).await.expect("nothing is sealed yet");
    start(&world, &[("AGENTFLOW_MASTER_KEY", &other)]).await.expect("nothing is sealed yet");
    keep(&Office::new(&world, "Acme").await, "One", "secret").await;
    start(&world, &[("AGENTFLOW_MASTER_KEY", &key)]).await.expect("the right key");
    start(&world, &[("AGENTFLOW_MASTER_KEY", &other), ("AGENTFLOW_MASTER_KEY_OLD", &key)]).await.expect("both");
    let missing = start(&world, &[]).await.unwrap_err();
    assert!(missing.contains("no master key to open them with"), "{missing}");
    let wrong = start(&world, &[("AGENTFLOW_MASTER_KEY", &other)]).await.unwrap_err();
    assert!(wrong.contains("does not fit the database"), "{wrong}");
    assert!(!wrong.contains(&*other) && !wrong.contains(&*key));

    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("key");
    let file = file.to_str().unwrap();
    let absent = start(&world, &[("AGENTFLOW_MASTER_KEY_FILE", file)]).await.unwrap_err();
    assert!(absent.contains("there is no such file"), "{absent}");
    std::fs::write(file, key.as_bytes()).unwrap();
    start(&world, &[("AGENTFLOW_MASTER_KEY_FILE", file)]).await.expect("the right key in a file");
    std::fs::write(file, "short").unwrap();
    assert!(start(&world, &[("AGENTFLOW_MASTER_KEY_FILE", file)]).await.unwrap_err().contains("32 random bytes"));
    for short in ["x", "changeme", &"00".repeat(32), &key[..40]] {
        let refused = start(&world, &[("AGENTFLOW_MASTER_KEY", short)]).await.unwrap_err();
        assert!(refused.contains("AGENTFLOW_MASTER_KEY") && refused.contains("openssl rand"), "{refused}");
    }
}

async fn add(person: &mut Person, name: &str, secret: &str) -> Reply {
    let org = person.org.clone();
    let fields =
        [("org", org.as_str()), ("name", name), ("kind", "bearer"), ("hosts", "api.example.com"), ("secret", secret)];
    person.client.post_form(AddCredential::PATH, &fields).await
}

async fn load(person: &mut Person) -> serde_json::Value {
    let org = person.org.clone();
    let reply = person.client.post_form(LoadIntegrations::PATH, &[("org", &org)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn without_a_master_key_nothing_is_stored_and_a_sentence_says_what_to_do() {
    let world = World::new().await;
    let mut ada = world.sign_up("Ada").await;
    let reply = add(&mut ada, "CRM", "token").await;
    assert_eq!((reply.status.0.as_u16(), reply.json()["code"].as_str()), (409, Some("credentials.no_master_key")));
    assert!(reply.json()["message"].as_str().unwrap().contains("AGENTFLOW_MASTER_KEY"));
    assert_eq!(count(&world, "credentials").await + count(&world, "data_keys").await, 0);
    let page = ada.client.get("/o/ada-s-team/integrations").await;
    assert!(page.text().contains("This server has no master key"));
    assert!(!page.text().contains("Add a credential"));
}

#[tokio::test]
async fn each_use_is_written_down_and_none_goes_elsewhere_or_to_others() {
    let (world, _) = with_key(&[]).await;
    let (acme, rival) = (Office::new(&world, "Acme").await, Office::new(&world, "Rival").await);
    let (vault, org) = (&world.deps().vault, acme.owner.org_id());
    let credential = keep(&acme, "CRM", "token-of-acme").await;
    let call = agentflow::engine::port::CallScope { org, ..scope() };
    let wanted = Use { org, credential, host: "EU.api.example.com.", purpose: "tool crm_lookup", scope: Some(&call) };
    assert_eq!(vault.open(&wanted).await.unwrap().secret.expose_secret(), "token-of-acme");
    let noted = format!(
        "credential_uses where credential_id = '{}' and run_id = '{}' and step_id = 'answer'
         and host = 'eu.api.example.com' and purpose = 'tool crm_lookup' and organization_id = '{}'",
        credential.uuid(),
        call.run.uuid(),
        org.uuid()
    );
    assert_eq!(count(&world, &noted).await, 1);
    vault.open(&wanted).await.unwrap();
    assert_eq!(count(&world, &noted).await, 2);
    assert_eq!(count(&world, "credentials where last_used_at is not null").await, 1);

    for host in ["example.com", "evilapi.example.com", "api.example.com.evil.net", "127.0.0.1", "", "api.example.com/x"]
    {
        let refused = open(vault, org, credential, host).await.unwrap_err();
        assert_eq!((refused.code.as_str(), refused.class), ("credentials.host", ErrorClass::Auth), "{host}");
    }
    let foreign = open(vault, rival.owner.org_id(), credential, "api.example.com").await.unwrap_err();
    let absent = open(vault, org, CredentialId::new(), "api.example.com").await.unwrap_err();
    assert_eq!((foreign.code.as_str(), &foreign), ("credentials.unknown", &absent));
    assert_eq!(count(&world, "credential_uses").await, 2, "what was refused is no use");

    // Notes can be made and read, and neither changed nor removed, but by age.
    let mut tx = world.deps().db.tenant(org).await.unwrap();
    for text in ["update credential_uses set host = 'x'", "delete from credential_uses"] {
        let refused = sqlx::raw_sql(text).execute(tx.conn()).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
        tx = world.deps().db.tenant(org).await.unwrap();
    }
    for table in ["credentials", "data_keys", "credential_uses", "model_connections"] {
        let text = format!("select count(*) from {table}");
        let refused = sqlx::raw_sql(AssertSqlSafe(text)).execute(world.deps().db.engine()).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{table}: the engine's role reads it");
    }
    sql(
        &world,
        "update credential_uses set at = now() - interval '91 days' where id = (select min(id) from credential_uses)",
    )
    .await;
    let sessions = agentflow::accounts::sessions::Sessions::new(
        world.deps().db.clone(),
        agentflow::accounts::sessions::Limits::default(),
    );
    Sweep { sessions }.run(world.deps()).await.unwrap();
    assert_eq!(count(&world, "credential_uses").await, 1);
}

#[tokio::test]
async fn only_who_may_and_signed_in_freshly_sets_a_value() {
    let (world, _) = with_key(&[]).await;
    let mut ada = world.sign_up("Ada").await;
    let mut admin = world.joins("Alma", &ada.org, Role::Admin).await;
    assert_eq!(add(&mut admin, "CRM", "token-1").await.status, 200);
    let id = load(&mut ada).await["credentials"][0]["id"].as_str().unwrap().to_owned();
    let org = ada.org.clone();
    let change = [("org", org.as_str()), ("credential", id.as_str()), ("name", "CRM"), ("hosts", "api.example.com")];
    let named = [("org", org.as_str()), ("credential", id.as_str())];
    for (name, role) in [("Mia", Role::Member), ("Vic", Role::Viewer)] {
        let mut person = world.joins(name, &ada.org, role).await;
        assert_eq!(load(&mut person).await["credentials"][0]["name"], "CRM");
        assert_eq!(add(&mut person, "Mine", "token").await.json()["code"], "forbidden");
        for (path, fields) in [
            (ChangeCredential::PATH, &change[..]),
            (DisconnectCredential::PATH, &named),
            (RemoveCredential::PATH, &named),
        ] {
            assert_eq!(person.client.post_form(path, fields).await.json()["code"], "forbidden", "{path}");
        }
        let page = person.client.get("/o/ada-s-team/integrations").await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("api.example.com") && !page.text().contains("type=\"password\""));
    }
    sql(&world, "update sessions set created_at = now() - interval '2 hours 1 second'").await;
    for reply in [add(&mut ada, "Mine", "token").await, ada.client.post_form(ChangeCredential::PATH, &change).await] {
        assert_eq!((reply.status.0.as_u16(), reply.json()["code"].as_str()), (403, Some("reauth")));
    }
    // To stop a credential, any session will do.
    assert_eq!(ada.client.post_form(DisconnectCredential::PATH, &named).await.status, 200);
    assert_eq!(load(&mut ada).await["credentials"][0]["status"], "disconnected");
    assert_eq!(ada.client.post_form(RemoveCredential::PATH, &named).await.status, 200);
    assert_eq!(count(&world, "credentials").await, 0);
}

#[tokio::test]
async fn a_credential_is_changed_replaced_disconnected_and_removed() {
    let (world, _) = with_key(&[]).await;
    let mut ada = world.sign_up("Ada").await;
    let office = Office::of(&world, &ada.org).await;
    let (vault, org) = (&world.deps().vault, office.owner.org_id());
    let credential = keep(&office, "CRM", "token-number-one").await;
    let id = credential.to_string();
    let mut change = async |name: &str, hosts: &str, secret: &str| {
        let fields =
            [("org", "ada-s-team"), ("credential", &*id), ("name", name), ("hosts", hosts), ("secret", secret)];
        ada.client.post_form(ChangeCredential::PATH, &fields).await
    };
    // To fewer hosts and another name it comes without its value; to more with it.
    assert_eq!(change("Sales", "eu.api.example.com", "").await.status, 200);
    let wider = change("Sales", "api.example.com", "").await;
    assert_eq!((wider.status.0.as_u16(), wider.json()["fields"][0]["field"].as_str()), (422, Some("secret")));
    assert_eq!(change("Sales", "api.example.com, evil.net", "").await.status, 422);
    assert_eq!(open(vault, org, credential, "api.example.com").await.unwrap_err().code, "credentials.host");
    assert_eq!(change("Sales", "api.example.com", "token-number-two").await.status, 200);
    assert_eq!(value(vault, org, credential).await.as_deref(), Ok("token-number-two"));
    keep(&office, "Other", "x").await;
    assert_eq!(change("oTHER", "api.example.com", "").await.json()["fields"][0]["field"], "name");
    for (name, hosts, secret) in
        [("", "a.example", "x"), ("A", "", "x"), ("A", "https://a", "x"), ("A", "a.example", "\0")]
    {
        assert_eq!(change(name, hosts, secret).await.status, 422, "{name} {hosts}");
    }

    service::disconnect(&office.owner.grant().unwrap(), credential).await.unwrap();
    assert_eq!(value(vault, org, credential).await, Err("credentials.disconnected".to_owned()));
    assert_eq!(change("Sales", "api.example.com", "token-number-three").await.status, 200);
    assert_eq!(value(vault, org, credential).await.as_deref(), Ok("token-number-three"));
    service::remove(&office.owner.grant().unwrap(), credential).await.unwrap();
    assert_eq!(value(vault, org, credential).await, Err("credentials.unknown".to_owned()));
    assert_eq!(service::remove(&office.owner.grant().unwrap(), credential).await.unwrap_err().code, "not_found");

    let rival = Office::new(&world, "Rival").await;
    let theirs = keep(&rival, "Theirs", "token").await;
    for refused in [
        service::remove(&office.owner.grant().unwrap(), theirs).await,
        service::disconnect(&office.owner.grant().unwrap(), theirs).await,
    ] {
        assert_eq!(
            refused.unwrap_err(),
            service::remove(&office.owner.grant().unwrap(), CredentialId::new()).await.unwrap_err()
        );
    }
    assert_eq!(value(vault, rival.owner.org_id(), theirs).await.as_deref(), Ok("token"));
}

/// Looks for a text in every form that it may hide in.
pub fn shows(text: &str, secret: &str) -> Option<String> {
    forms_of(secret).into_iter().find(|form| text.contains(form.as_str()))
}

/// A secret as it is, as JSON and addresses write it, in hex, backwards, and in base64 by itself and inside of something.
fn forms_of(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = serde_json::to_string(secret).unwrap();
    let encoded: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let mut forms = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        encoded.replace('+', "%20"),
        encoded,
        hex.to_uppercase(),
        hex,
        secret.chars().rev().collect(),
    ];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        // In the middle of something it begins at one of three places; the letters at both ends then belong to its
        // neighbours as well.
        for before in 0..3_usize {
            let shifted = [&[0; 2][..before], bytes].concat();
            let text = engine.encode(&shifted);
            let whole = text.len() - usize::from(shifted.len() % 3 != 0);
            forms.push(text[(before * 8).div_ceil(6)..whole].to_owned());
        }
        forms.push(engine.encode(bytes));
    }
    forms
}

/// Everything that is logged on this thread meanwhile, from debug on.
#[derive(Clone, Default)]
pub struct Heard(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Heard {
    pub fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let heard = self.clone();
        let lines = tracing_subscriber::fmt().with_env_filter(server::telemetry::filter("debug"));
        tracing::subscriber::set_default(lines.with_writer(move || heard.clone()).finish())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_is_in_no_dump_page_answer_or_log() {
    const CANARY: &str = "sk-canary/51f0c2e9+aa7b44d1";
    let heard = Heard::default();
    let listening = heard.listen();
    let (world, _) = with_key(&[]).await;
    let mut ada = world.sign_up("Ada").await;
    let mut vic = world.joins("Vic", &ada.org, Role::Viewer).await;
    let mut said = String::new();
    for kind in ["bearer", "header", "query", "basic", "postgres"] {
        let url = format!("postgres://ada:{}@db.example.com/crm", "sk-canary%2F51f0c2e9+aa7b44d1");
        let secret = if kind == "postgres" { &url } else { CANARY };
        let detail = if kind == "header" { "X-Key" } else { "ada" };
        let fields = [
            ("org", "ada-s-team"),
            ("name", kind),
            ("kind", kind),
            ("detail", detail),
            ("hosts", "api.example.com"),
            ("secret", secret),
        ];
        let reply = ada.client.post_form(AddCredential::PATH, &fields).await;
        assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
        said.push_str(reply.text());
    }
    let page = load(&mut ada).await;
    let ids: Vec<_> = page["credentials"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    let office = Office::of(&world, &ada.org).await;
    for id in &ids {
        for host in ["db.example.com", "api.example.com"] {
            let opened = open(&world.deps().vault, office.owner.org_id(), id.parse().unwrap(), host).await;
            said.push_str(&format!("{opened:?}"));
        }
    }
    // Refused forms, with and without a script: what was typed comes back, the secret does not.
    for fields in [
        format!("org=ada-s-team&name=&kind=bearer&hosts=kept.example.com&secret={}", "sk-canary%2F51f0c2e9%2Baa7b44d1"),
        format!(
            "org=ada-s-team&name=bearer&kind=bearer&hosts=kept.example.com&secret={}",
            "sk-canary%2F51f0c2e9%2Baa7b44d1"
        ),
    ] {
        for accept in ["text/html", "application/json"] {
            let body = format!("{fields}&_form=add_credential&_page=%2Fo%2Fada-s-team%2Fintegrations");
            let request = ada
                .client
                .request(axum::http::Method::POST, AddCredential::PATH)
                .header("accept", accept)
                .header("content-type", "application/x-www-form-urlencoded");
            let reply = ada.client.send(request.body(body.into()).unwrap()).await;
            assert_eq!(reply.status, 422, "{}", reply.text());
            assert!(accept != "text/html" || reply.text().contains("kept.example.com"), "what was typed is kept");
            let is_open = reply.text().split("<details").any(|rest| {
                let (tag, inside) = rest.split_once('>').unwrap_or_default();
                tag.contains(" open") && inside.contains("Add a credential")
            });
            assert!(accept != "text/html" || is_open, "the form is folded away");
            said.push_str(reply.text());
        }
    }
    for person in [&mut ada, &mut vic] {
        said.push_str(&load(person).await.to_string());
        let page = person.client.get("/o/ada-s-team/integrations").await;
        assert_eq!(page.status, 200);
        said.push_str(page.text());
    }
    drop(listening);
    let (dump, log) = (dump(&world).await, heard.text());
    assert!(dump.contains("api.example.com") && said.contains("api.example.com") && log.contains("credential made"));
    for (place, text) in [("the database", &dump), ("an answer", &said), ("the log", &log)] {
        assert_eq!(shows(text, CANARY), None, "{place}");
    }
    // The search itself finds what is there.
    assert!(shows(&format!("x{CANARY}"), CANARY).is_some());
}
