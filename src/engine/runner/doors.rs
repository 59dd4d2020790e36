//! Whose call is next: each organization has a door, behind which its calls wait, one after the other. Only the first
//! joins the line for a slot, so the line has one of each organization and goes round between them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use tokio::sync::Mutex;

use crate::kernel::OrgId;

/// With so many doors, those where nobody waits are taken away.
const MANY: usize = 1_000;

/// The doors.
#[derive(Default)]
pub struct Doors(std::sync::Mutex<HashMap<OrgId, Arc<Mutex<()>>>>);

impl Doors {
    /// The door of an organization.
    pub fn of(&self, org: OrgId) -> Arc<Mutex<()>> {
        // The map is whole after a panic elsewhere: each change is one call.
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if doors.len() >= MANY {
            doors.retain(|_, door| Arc::strong_count(door) > 1);
        }
        doors.entry(org).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Shared;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn the_line_goes_round_between_organizations() {
        let (doors, slots) = (Arc::new(Doors::default()), Arc::new(Semaphore::new(1)));
        let order = Arc::new(Shared::new(Vec::new()));
        let (many, one) = (OrgId::new(), OrgId::new());
        let held = slots.clone().acquire_owned().await.expect("never closed");
        let mut calls = Vec::new();
        for org in [many, many, many, many, one] {
            let (doors, slots, order) = (doors.clone(), slots.clone(), order.clone());
            calls.push(tokio::spawn(async move {
                let door = doors.of(org);
                let first = door.lock().await;
                let _slot = slots.acquire().await;
                drop(first);
                order.lock().expect("whole").push(org);
            }));
            tokio::task::yield_now().await;
        }
        drop(held);
        for call in calls {
            call.await.expect("no panic");
        }
        assert_eq!(*order.lock().expect("whole"), [many, one, many, many, many]);
    }
}
