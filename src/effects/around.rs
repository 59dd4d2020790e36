//! What is known around a model's call: what its organization has named, and who wants to be left alone.

use std::collections::HashMap;

use async_trait::async_trait;

use crate::{
    connections::ModelConnections,
    db::Db,
    engine::{
        port::CallScope,
        state::{ErrorClass, StepError},
    },
    kernel::Timestamp,
    limits::{LimitKey, Limits},
    models::{
        Class, classes,
        connection::Connections as _,
        routing::{Circumstances, Side},
    },
};

/// What is known around the calls of an organization.
pub(super) struct Around<'a> {
    pub db: &'a Db,
    pub connections: &'a ModelConnections,
    pub limits: &'a Limits,
    pub scope: &'a CallScope,
}

#[async_trait]
impl Circumstances for Around<'_> {
    async fn class(&self, class: Class) -> Result<Option<Vec<String>>, StepError> {
        let own = classes::own(self.db, self.scope.org, class).await;
        own.map_err(|error| StepError::new(ErrorClass::Unavailable, "model.classes", error.message))
    }

    async fn left_alone(&self, sides: &[Side]) -> HashMap<Side, Timestamp> {
        let keys: Vec<LimitKey> = sides.iter().map(LimitKey::of_connection).collect();
        let blocked = self.limits.blocked(self.scope.org, &keys).await;
        let of = |(side, key): (&Side, &LimitKey)| Some((side.clone(), *blocked.get(key)?));
        sides.iter().zip(&keys).filter_map(of).collect()
    }

    async fn used(&self, side: &Side) {
        self.connections.used(self.scope, &side.connection).await;
    }

    async fn hear(&self, side: &Side, error: &StepError) {
        self.limits.hear(self.scope.org, &LimitKey::of_connection(side), error).await;
    }
}
