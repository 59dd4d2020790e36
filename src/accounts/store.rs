//! Statements on people, sessions and failed sign-ins. None belongs to an organization, so all run in the sign-in's
//! transaction.

use serde_json::Value;
use sqlx::{query, query_as, query_scalar};

use super::{
    Profile, UndoWindow, Wishes,
    sessions::{FRESH_S, Limits},
};
use crate::{
    db::IdentityTx,
    kernel::{Result, Timestamp, UserId},
};

/// What signing in needs to know of an account.
pub(super) struct Credentials {
    pub(super) id: UserId,
    pub(super) password_hash: String,
}

/// Makes an account, unless its address has one already.
pub(super) async fn insert_user(
    tx: &mut IdentityTx,
    email: &str,
    name: &str,
    password_hash: &str,
) -> Result<Option<UserId>> {
    let made = query_scalar!(
        r#"insert into users (id, email, name, password_hash) values ($1, $2, $3, $4)
           on conflict (lower(email)) do nothing
           returning id as "id: UserId""#,
        UserId::new().uuid(),
        email,
        name,
        password_hash,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(made)
}

/// Whether anybody has an account.
pub(super) async fn has_users(tx: &mut IdentityTx) -> Result<bool> {
    let has = query_scalar!(r#"select exists (select from users) as "has!""#).fetch_one(tx.conn()).await?;
    Ok(has)
}

/// Until this transaction ends nobody else makes an account: those who began have ended, and others wait.
pub(super) async fn lock_users(tx: &mut IdentityTx) -> Result<()> {
    query!("lock table users in share row exclusive mode").execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn credentials(tx: &mut IdentityTx, email: &str) -> Result<Option<Credentials>> {
    let found = query_as!(
        Credentials,
        r#"select id as "id: UserId", password_hash from users where lower(email) = lower($1)"#,
        email,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

/// Replaces the hash, unless it has been changed since it was read.
pub(super) async fn replace_hash(tx: &mut IdentityTx, user: UserId, old: &str, new: &str) -> Result<()> {
    query!("update users set password_hash = $3 where id = $1 and password_hash = $2", user.uuid(), old, new,)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Sets the hash, whatever it was.
pub(super) async fn set_hash(tx: &mut IdentityTx, user: UserId, hash: &str) -> Result<()> {
    query!("update users set password_hash = $2 where id = $1", user.uuid(), hash).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn profile(tx: &mut IdentityTx, user: UserId) -> Result<Option<Profile>> {
    let row =
        query!("select name, email, undo_window_s, email_notices, single_keys from users where id = $1", user.uuid())
            .fetch_optional(tx.conn())
            .await?;
    Ok(row.map(|row| Profile {
        id: user,
        name: row.name,
        email: row.email,
        undo: UndoWindow::of_seconds(row.undo_window_s),
        email_notices: row.email_notices,
        single_keys: row.single_keys,
    }))
}

pub(super) async fn set_profile(
    tx: &mut IdentityTx,
    user: UserId,
    name: &str,
    undo: UndoWindow,
    wishes: Wishes,
) -> Result<()> {
    query!(
        "update users set name = $2, undo_window_s = $3, email_notices = $4, single_keys = $5 where id = $1",
        user.uuid(),
        name,
        undo.seconds(),
        wishes.email_notices,
        wishes.single_keys,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A session's row, alive by both limits.
pub(super) struct SessionRow {
    pub(super) data: Value,
    pub(super) expires_at: Timestamp,
    /// The idle limit should be moved on: it was set a step ago or earlier.
    pub(super) idle_limit_is_old: bool,
    /// The person signed in a short while ago: a session begins with that.
    pub(super) is_fresh: bool,
}

pub(super) async fn create_session(
    tx: &mut IdentityTx,
    id_hash: &[u8; 32],
    user: Option<UserId>,
    data: &Value,
    limits: Limits,
) -> Result<()> {
    query!(
        "insert into sessions (id_hash, user_id, data, expires_at)
         values ($1, $2, $3, now() + make_interval(secs => $4))",
        id_hash.as_slice(),
        user.map(UserId::uuid),
        data,
        f64::from(limits.idle_s.min(limits.absolute_s)),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn save_session(
    tx: &mut IdentityTx,
    id_hash: &[u8; 32],
    user: Option<UserId>,
    data: &Value,
) -> Result<()> {
    query!(
        "update sessions set user_id = $2, data = $3 where id_hash = $1",
        id_hash.as_slice(),
        user.map(UserId::uuid),
        data,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn load_session(
    tx: &mut IdentityTx,
    id_hash: &[u8; 32],
    limits: Limits,
) -> Result<Option<SessionRow>> {
    let row = query_as!(
        SessionRow,
        r#"select data, expires_at,
                  expires_at < least(now() + make_interval(secs => $2), created_at + make_interval(secs => $3))
                      as "idle_limit_is_old!",
                  created_at + make_interval(secs => $4) > now() as "is_fresh!"
           from sessions
           where id_hash = $1
             and expires_at > now()
             and created_at + make_interval(secs => $3) > now()"#,
        id_hash.as_slice(),
        f64::from(limits.idle_s) - limits.step_s(),
        f64::from(limits.absolute_s),
        f64::from(FRESH_S),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row)
}

/// Whether a session lives. Its `expires_at` is never beyond the absolute limit.
pub(super) async fn session_lives(tx: &mut IdentityTx, id_hash: &[u8; 32]) -> Result<bool> {
    let lives = query_scalar!(
        r#"select exists (select from sessions where id_hash = $1 and expires_at > now()) as "lives!""#,
        id_hash.as_slice(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(lives)
}

pub(super) async fn touch_session(tx: &mut IdentityTx, id_hash: &[u8; 32], limits: Limits) -> Result<()> {
    query!(
        "update sessions
         set expires_at = least(now() + make_interval(secs => $2), created_at + make_interval(secs => $3))
         where id_hash = $1",
        id_hash.as_slice(),
        f64::from(limits.idle_s),
        f64::from(limits.absolute_s),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn delete_session(tx: &mut IdentityTx, id_hash: &[u8; 32]) -> Result<()> {
    query!("delete from sessions where id_hash = $1", id_hash.as_slice()).execute(tx.conn()).await?;
    Ok(())
}

/// Ends all sessions of a person.
pub(super) async fn delete_sessions_of(tx: &mut IdentityTx, user: UserId) -> Result<()> {
    query!("delete from sessions where user_id = $1", user.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Ends all links in messages that were a person's, in every organization.
pub(super) async fn delete_links_of(tx: &mut IdentityTx, user: UserId) -> Result<()> {
    query!("delete from approval_links where user_id = $1", user.uuid()).execute(tx.conn()).await?;
    Ok(())
}

/// Removes sessions past a limit, and failed sign-ins that no longer count.
pub(super) async fn sweep_sessions(tx: &mut IdentityTx, limits: Limits) -> Result<u64> {
    let gone = query!(
        "delete from sessions where expires_at <= now() or created_at + make_interval(secs => $1) <= now()",
        f64::from(limits.absolute_s),
    )
    .execute(tx.conn())
    .await?;
    query!("delete from sign_in_throttle where updated_at < now() - interval '1 day'").execute(tx.conn()).await?;
    Ok(gone.rows_affected())
}

/// Counts one try of `key`, unless the key has to wait. Returns the seconds to wait, or nothing when the try may go on.
///
/// The try is counted before its outcome is known, under the row's lock: fifty at once are fifty. The first `free` cost
/// nothing, then each doubles the pause up to `longest_s`. A day, or `forget_s` seconds, without a try forgets them all.
pub(super) async fn count_try(
    tx: &mut IdentityTx,
    key: &str,
    free: i32,
    longest_s: f64,
    forget_s: f64,
) -> Result<Option<f64>> {
    let counted = query_scalar!(
        r#"insert into sign_in_throttle as t (key, failures, updated_at) values ($1, 1, clock_timestamp())
           on conflict (key) do update set
               failures = case
                   when t.updated_at < clock_timestamp() - make_interval(secs => $4) then 1
                   else least(t.failures, 1000) + 1
               end,
               blocked_until = case
                   when t.updated_at < clock_timestamp() - make_interval(secs => $4) then '-infinity'
                   when t.failures + 1 < $2 then '-infinity'
                   else clock_timestamp()
                       + make_interval(secs => least($3, power(2, least(t.failures + 1 - $2, 30))::double precision))
               end,
               updated_at = clock_timestamp()
           where t.blocked_until <= clock_timestamp()
           returning failures"#,
        key,
        free,
        longest_s,
        forget_s,
    )
    .fetch_optional(tx.conn())
    .await?;
    if counted.is_some() {
        return Ok(None);
    }
    let wait = query_scalar!(
        r#"select extract(epoch from blocked_until - clock_timestamp())::double precision as "wait!"
           from sign_in_throttle where key = $1"#,
        key,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(Some(wait.unwrap_or(1.0).max(1.0)))
}

/// A try was right after all: forgets the key.
pub(super) async fn forget_tries(tx: &mut IdentityTx, key: &str) -> Result<()> {
    query!("delete from sign_in_throttle where key = $1", key).execute(tx.conn()).await?;
    Ok(())
}

/// A try was right after all: takes this one back, and leaves the others of the key.
pub(super) async fn take_try_back(tx: &mut IdentityTx, key: &str) -> Result<()> {
    query!(
        "update sign_in_throttle set failures = greatest(failures - 1, 0), blocked_until = '-infinity' where key = $1",
        key,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
