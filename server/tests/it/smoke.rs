//! The world itself works.

use crate::world::World;

#[tokio::test]
async fn an_address_that_is_nobodys_is_a_page_that_says_so() {
    let world = World::new().await;
    let reply = world.client().get("/no-such-page").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("Not found"), "{}", reply.text());
}

#[tokio::test]
async fn two_worlds_do_not_see_each_other() {
    let (one, other) = (World::new().await, World::new().await);
    assert_ne!(one.database(), other.database());
}
