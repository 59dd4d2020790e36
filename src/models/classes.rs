//! Which models stand behind a class of tasks: the usual ones, which are data with a date, or an organization's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use super::{
    ModelId,
    class::{Class, ClassModels},
    store,
};
use crate::{
    access::{Grant, right},
    db::Db,
    kernel::{Error, OrgId, Result},
};

/// The most models of a class.
const MAX_MODELS: usize = 20;

#[derive(Deserialize)]
struct Table {
    classes: BTreeMap<Class, Vec<String>>,
}

static TABLE: LazyLock<BTreeMap<Class, Vec<String>>> = LazyLock::new(|| {
    let read = serde_json::from_str::<Table>(include_str!("classes.json"));
    read.map(|table| table.classes).unwrap_or_else(|error| {
        tracing::error!(%error, "the table of classes cannot be read");
        BTreeMap::new()
    })
});

/// The usual models of a class, the best first.
pub(super) fn usual(class: Class) -> &'static [String] {
    TABLE.get(&class).map_or(&[], Vec::as_slice)
}

/// What the organization has named for a class; nothing where it goes by the usual ones. For calls.
///
/// # Errors
/// When the database does not answer.
pub async fn own(db: &Db, org: OrgId, class: Class) -> Result<Option<Vec<String>>> {
    store::of_class(db.engine(), org, class.name()).await
}

/// All classes with their models.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<ClassModels>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let mut own: BTreeMap<String, Vec<String>> = store::of_classes(&mut tx).await?.into_iter().collect();
    let of = |class: Class| match own.remove(class.name()) {
        Some(models) => ClassModels { class, models, is_own: true },
        None => ClassModels { class, models: usual(class).to_vec(), is_own: false },
    };
    Ok(Class::ALL.into_iter().map(of).collect())
}

/// Names the models of a class, in the order in which they are asked. None: the usual ones.
///
/// # Errors
/// `invalid`, when one of them is no model or there are too many.
pub async fn set(grant: &Grant<right::Deploy>, class: Class, models: Vec<String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    let models: Vec<String> = models.into_iter().filter(|model| seen.insert(model.clone())).collect();
    if models.len() > MAX_MODELS {
        return Err(Error::invalid("models", format!("A class has at most {MAX_MODELS} models.")));
    }
    for model in &models {
        let id = ModelId::parse(model).map_err(|message| Error::invalid("models", message))?;
        if id.provider() == super::class::PROVIDER {
            return Err(Error::invalid("models", "A class is made of models, not of other classes."));
        }
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if models.is_empty() {
        store::clear_class(&mut tx, class.name()).await?;
    } else {
        store::set_class(&mut tx, class.name(), &models).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::{super::prices, *};

    #[test]
    fn each_class_has_models_that_the_price_table_knows_and_routine_work_is_the_cheapest() {
        let prices = prices::Prices::default();
        let first = |class: Class| prices.find(&usual(class)[0]).unwrap().price.output;
        for class in Class::ALL {
            assert!(usual(class).len() >= 5, "{class:?}");
            for model in usual(class) {
                assert!(prices.find(model).is_some_and(|row| row.id == *model), "{model}");
            }
            assert!(first(Class::Routine) <= first(class), "{class:?}");
        }
    }
}
