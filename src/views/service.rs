//! Use cases of saved views. They belong to people: a program has none.

use super::{PAGES, SavedView, store};
use crate::{
    access::{Actor, Grant, right},
    kernel::{Error, Result, UserId, text},
};

/// The most views of a person on a page.
const MOST: usize = 50;
/// The longest name in characters.
const NAME: usize = 60;
/// The longest address.
const QUERY: usize = 2_000;

/// The views of the one who asks, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>, page: &str) -> Result<Vec<SavedView>> {
    let Ok(user) = person(grant) else { return Ok(Vec::new()) };
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx, user, &text::without_nul(page.to_owned())).await
}

/// Keeps the filters of a page under a name. A view that has the name already is replaced.
///
/// # Errors
/// `invalid` at `name` or `query`; `conflict` with too many views; `not_found` for a page without views.
pub async fn save(grant: &Grant<right::View>, page: &str, name: &str, query: &str) -> Result<()> {
    let (user, page, name) = (person(grant)?, known(page)?, named(name)?);
    let query = text::without_nul(query.trim().trim_start_matches('?').to_owned());
    if query.is_empty() {
        return Err(Error::invalid("query", "Filter the list first: a view keeps its filters."));
    }
    if query.len() > QUERY {
        return Err(Error::invalid("query", "These filters are too long to be kept."));
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let kept = store::list(&mut tx, user, page).await?;
    if kept.len() >= MOST && kept.iter().all(|view| view.name != name) {
        return Err(Error::conflict("views.too_many", format!("You may have {MOST} views at most. Remove one first.")));
    }
    store::put(&mut tx, user, page, &SavedView { name, query }).await?;
    tx.commit().await
}

/// Gives a view another name.
///
/// # Errors
/// `not_found`; `invalid` at `name`, also when another view has it.
pub async fn rename(grant: &Grant<right::View>, page: &str, view: &str, name: &str) -> Result<()> {
    let (user, page, name) = (person(grant)?, known(page)?, named(name)?);
    let view = text::without_nul(view.to_owned());
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if view != name && store::list(&mut tx, user, page).await?.iter().any(|kept| kept.name == name) {
        return Err(Error::invalid("name", "Another view has this name."));
    }
    if !store::rename(&mut tx, user, page, &view, &name).await? {
        return Err(Error::not_found("view"));
    }
    tx.commit().await
}

/// Removes a view.
///
/// # Errors
/// `not_found`.
pub async fn remove(grant: &Grant<right::View>, page: &str, view: &str) -> Result<()> {
    let (user, page) = (person(grant)?, known(page)?);
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::remove(&mut tx, user, page, &text::without_nul(view.to_owned())).await? {
        return Err(Error::not_found("view"));
    }
    tx.commit().await
}

fn person(grant: &Grant<right::View>) -> Result<UserId> {
    match grant.actor() {
        Actor::User { id, .. } => Ok(*id),
        _ => Err(Error::not_found("view")),
    }
}

fn known(page: &str) -> Result<&'static str> {
    PAGES.into_iter().find(|known| *known == page).ok_or_else(|| Error::not_found("page"))
}

fn named(name: &str) -> Result<String> {
    let name: String = name.trim().chars().filter(|letter| !letter.is_control()).collect();
    match name.chars().count() {
        0 => Err(Error::invalid("name", "Give the view a name.")),
        1..=NAME => Ok(name),
        _ => Err(Error::invalid("name", format!("A name has {NAME} characters at most."))),
    }
}
