//! What the page of the task classes asks the server.

use agentflow::{
    access::Role,
    models::{Class, ClassModels},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::models::classes;

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassesPage {
    /// The classes with their models.
    pub classes: Vec<ClassModels>,
    /// The ids of the models that can be called now.
    pub connected: Vec<String>,
    /// One's own role.
    pub role: Role,
}

/// Reads the classes.
#[server]
pub async fn load_model_classes(org: String) -> Result<ClassesPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let available = cx.deps().models.available(cx.org_id()).await?;
    let connected = available.into_iter().map(|model| model.id).filter(|id| Class::of(id).is_none()).collect();
    Ok(ClassesPage { classes: classes::list(&cx.grant()?).await?, connected, role: cx.role() })
}

/// Names the models of a class, one on a line. None: the usual ones.
#[server]
pub async fn set_model_class(org: String, class: Class, #[server(default)] models: String) -> Result<(), ApiError> {
    let models = models.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Ok(classes::set(&door::ctx(&org).await?.grant()?, class, models).await?)
}
