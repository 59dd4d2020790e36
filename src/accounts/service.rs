//! Signing up, in and out, and one's own profile.

use http::request::Parts;
use tracing::info;

use super::{
    Admission, Profile, UndoWindow, Wishes, parse_email, parse_name, password,
    password::Verdict,
    sessions::{self, Session},
    store,
    throttle::{ClientAddress, Try},
};
use crate::{
    access::OrgRef,
    db::IdentityTx,
    deps::Deps,
    kernel::{Checks, Error, FieldError, Kind, Result, UserId},
    orgs,
};

/// Whoever asks, signed in or not.
#[derive(Clone)]
pub struct Visitor {
    /// What operations work with.
    pub deps: Deps,
    /// The browser's session.
    pub session: Session,
    /// Where the request came from, where that is known.
    pub address: Option<ClientAddress>,
    /// The request's id, as in the log.
    pub request_id: String,
}

impl Visitor {
    /// Whoever sent this request.
    ///
    /// # Errors
    /// `internal`, where no session layer is around the route.
    pub fn of(deps: &Deps, request: &Parts) -> Result<Self> {
        let session = request.extensions.get::<Session>().cloned();
        let request_id = request.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        Ok(Self {
            deps: deps.clone(),
            session: session.ok_or_else(|| Error::internal("no session layer around this route"))?,
            address: request.extensions.get().copied(),
            request_id: request_id.unwrap_or_default().to_owned(),
        })
    }

    /// Whether the session that the request came with still lives, for streams that outlast it.
    ///
    /// # Errors
    /// `unavailable`, when the database does not answer.
    pub async fn is_still_here(&self) -> Result<bool> {
        sessions::is_alive(&self.deps.db, &self.session).await
    }

    /// The person, if one is signed in.
    ///
    /// # Errors
    /// `unauthenticated`, `unavailable`.
    pub async fn signed_in(self) -> Result<SignedIn> {
        let user = sessions::user(&self.session).await?.ok_or_else(Error::unauthenticated)?;
        let is_fresh = sessions::is_fresh(&self.session).await?;
        Ok(SignedIn { deps: self.deps, user, is_fresh, request_id: self.request_id })
    }
}

/// The proof that somebody is signed in. Which organization is asked for, and with which role, `orgs` says.
#[derive(Clone)]
pub struct SignedIn {
    deps: Deps,
    user: UserId,
    is_fresh: bool,
    request_id: String,
}

impl SignedIn {
    /// What operations work with.
    #[must_use]
    pub const fn deps(&self) -> &Deps {
        &self.deps
    }

    /// The person.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Whether they signed in within the last two hours.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// The request's id, as in the log.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
}

/// What a sign-up asks for. Not `Debug`: it holds a password.
pub struct NewAccount {
    /// The person's name.
    pub name: String,
    /// The address to sign in with.
    pub email: String,
    /// The password.
    pub password: String,
    /// The name of the organization that is made.
    pub organization: String,
}

impl NewAccount {
    fn checked(self) -> Result<Self> {
        let mut checks = Checks::default();
        let name = checks.take(parse_name("name", &self.name));
        let email = checks.take(parse_email(&self.email));
        checks.take(password::check_new("password", &self.password, &[&name, &email, &self.organization]));
        let organization = checks.take(parse_name("organization", &self.organization));
        checks.done()?;
        Ok(Self { name, email, password: self.password, organization })
    }
}

/// Whether somebody may sign up who has this secret of a link, or an empty one.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn admission(deps: &Deps, first: &str) -> Result<Admission> {
    Ok(if deps.sign_ups.are_open() {
        Admission::Open
    } else if deps.sign_ups.is_first(first) && !has_accounts(deps).await? {
        Admission::First
    } else {
        Admission::Closed
    })
}

/// Whether anybody has an account.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn has_accounts(deps: &Deps) -> Result<bool> {
    store::has_users(&mut deps.db.identity().await?).await
}

/// Makes an account and its first organization, and signs the person in. Returns the organization. `first` is the secret
/// of the link to the first account, or empty.
///
/// # Errors
/// `forbidden`, where sign-up is closed; `invalid` at the fields; `conflict`, when the address has an account;
/// `over_limit`.
pub async fn sign_up(visitor: &Visitor, new: NewAccount, first: &str) -> Result<OrgRef> {
    let admission = admission(&visitor.deps, first).await?;
    if admission == Admission::Closed {
        return Err(closed());
    }
    let new = new.checked()?;
    // Counted, since the answer tells whether an address has an account: a list of addresses cannot be tried quickly.
    let tried = Try::count(&visitor.deps.db, None, visitor.address).await?;
    let (user, org) = match admission {
        Admission::Open => make(&visitor.deps, &new).await?,
        // Asked again, since somebody else may have been first meanwhile.
        Admission::First | Admission::Closed => make_first(&visitor.deps, &new).await?.ok_or_else(closed)?,
    };
    tried.succeeded(&visitor.deps.db).await?;
    sessions::begin(&visitor.session, user).await?;
    info!(user = %user, organization = %org.id, request_id = visitor.request_id, "signed up");
    Ok(org)
}

/// Makes an account and its first organization, for the operator on the command line.
///
/// # Errors
/// As [`sign_up`].
pub async fn create(deps: &Deps, new: NewAccount) -> Result<OrgRef> {
    let (_, org) = make(deps, &new.checked()?).await?;
    Ok(org)
}

/// Makes the account that the operator's settings name, where nobody has one. Nothing, where somebody has: then the
/// settings are not even looked at.
///
/// # Errors
/// As [`sign_up`].
pub async fn create_first(deps: &Deps, new: NewAccount) -> Result<Option<OrgRef>> {
    if has_accounts(deps).await? {
        return Ok(None);
    }
    Ok(make_first(deps, &new.checked()?).await?.map(|(_, org)| org))
}

/// Account, organization and membership come to be together or not at all.
async fn make(deps: &Deps, new: &NewAccount) -> Result<(UserId, OrgRef)> {
    let hash = deps.passwords.hash(&new.password).await?;
    let mut tx = deps.db.identity().await?;
    let made = insert(&mut tx, new, &hash).await?;
    tx.commit().await?;
    Ok(made)
}

/// The same, unless somebody has an account: of several at once, one.
async fn make_first(deps: &Deps, new: &NewAccount) -> Result<Option<(UserId, OrgRef)>> {
    let hash = deps.passwords.hash(&new.password).await?;
    let mut tx = deps.db.identity().await?;
    store::lock_users(&mut tx).await?;
    if store::has_users(&mut tx).await? {
        return Ok(None);
    }
    let made = insert(&mut tx, new, &hash).await?;
    tx.commit().await?;
    Ok(Some(made))
}

async fn insert(tx: &mut IdentityTx, new: &NewAccount, hash: &str) -> Result<(UserId, OrgRef)> {
    let Some(user) = store::insert_user(tx, &new.email, &new.name, hash).await? else {
        return Err(email_taken());
    };
    let org = orgs::service::found(tx, &new.organization, user).await?;
    Ok((user, org))
}

fn closed() -> Error {
    let message = "Sign-up is closed on this server. Ask whoever runs it to make an account for you.";
    Error::new(Kind::Forbidden, "accounts.sign_up_closed", message)
}

fn email_taken() -> Error {
    let message = "This e-mail address has an account already. Sign in instead.";
    let mut error = Error::conflict("accounts.email_taken", message);
    error.fields.push(FieldError { field: "email".into(), message: message.into() });
    error
}

/// Signs a person in, under a new session id. The same answer, after the same time, for a wrong password and an address
/// without an account.
///
/// # Errors
/// `invalid`, `over_limit`.
pub async fn sign_in(visitor: &Visitor, email: &str, password: &str) -> Result<UserId> {
    let email = parse_email(email)?;
    if password.is_empty() {
        return Err(Error::invalid("password", "Enter your password."));
    }
    let db = &visitor.deps.db;
    let tried = Try::count(db, Some(&email), visitor.address).await?;
    let mut tx = db.identity().await?;
    let known = store::credentials(&mut tx, &email).await?;
    // No connection is held while the hash is made.
    drop(tx);
    let stored = known.as_ref().map(|known| known.password_hash.clone());
    let verdict = visitor.deps.passwords.verify(password, stored).await?;
    let (Some(known), true) = (known, verdict != Verdict::Wrong) else {
        info!(request_id = visitor.request_id, "sign-in refused");
        return Err(wrong());
    };
    if let Verdict::RightButOld { new_hash } = verdict {
        let mut tx = db.identity().await?;
        store::replace_hash(&mut tx, known.id, &known.password_hash, &new_hash).await?;
        tx.commit().await?;
    }
    tried.succeeded(db).await?;
    sessions::begin(&visitor.session, known.id).await?;
    info!(user = %known.id, request_id = visitor.request_id, "signed in");
    Ok(known.id)
}

fn wrong() -> Error {
    let mut error = Error::new(
        Kind::Invalid,
        "accounts.wrong_password",
        "This e-mail address and password do not belong together. Check both and try again.",
    );
    error.fields.push(FieldError { field: "password".into(), message: error.message.clone() });
    error
}

/// Ends the browser's session, if it has one.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn sign_out(visitor: &Visitor) -> Result<()> {
    sessions::end(&visitor.session).await
}

/// One's own account.
///
/// # Errors
/// `unauthenticated`, when it is gone.
pub async fn profile(person: &SignedIn) -> Result<Profile> {
    let mut tx = person.deps.db.identity().await?;
    store::profile(&mut tx, person.user).await?.ok_or_else(Error::unauthenticated)
}

/// Changes one's own name, undo window, and what one has switched on: e-mail about what waits, keys of a single letter.
///
/// # Errors
/// `invalid`, at the fields.
pub async fn update_profile(person: &SignedIn, name: &str, undo: &str, wishes: Wishes) -> Result<()> {
    let mut checks = Checks::default();
    let name = checks.take(parse_name("name", name));
    let undo = checks.take(UndoWindow::parse(undo));
    checks.done()?;
    let mut tx = person.deps.db.identity().await?;
    store::set_profile(&mut tx, person.user, &name, undo, wishes).await?;
    tx.commit().await
}

/// Sets a new password and ends all sessions, and all links in messages, for the operator on the command line.
///
/// # Errors
/// `not_found`, when no account has the address; `invalid`, when the password is not good enough.
pub async fn reset_password(deps: &Deps, email: &str, password: &str) -> Result<()> {
    let email = parse_email(email)?;
    password::check_new("password", password, &[&email])?;
    let hash = deps.passwords.hash(password).await?;
    let mut tx = deps.db.identity().await?;
    let known = store::credentials(&mut tx, &email).await?.ok_or_else(|| Error::not_found("account"))?;
    store::set_hash(&mut tx, known.id, &hash).await?;
    store::delete_sessions_of(&mut tx, known.id).await?;
    store::delete_links_of(&mut tx, known.id).await?;
    tx.commit().await
}
