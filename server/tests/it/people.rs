//! People for the tests: somebody who signed up, through the same door as everyone.

use agentflow::access::Role;
use app::{settings::api::LoadSettings, sign_in::api::SignIn, sign_up::api::SignUp};
use leptos::server_fn::ServerFn;

use crate::world::{Client, Reply, World};

/// A password that is good enough.
pub const PASSWORD: &str = "violet-tractor-sings-9";

/// Somebody who signed up, and owns an organization.
pub struct Person {
    /// Their browser, signed in.
    pub client: Client,
    /// The address that they sign in with.
    pub email: String,
    /// Their organization's part of the address.
    pub org: String,
}

impl World {
    /// Somebody signs up. The organization is named after them: `ada` owns `ada-s-team`.
    pub async fn sign_up(&self, name: &str) -> Person {
        let mut client = self.client();
        let email = format!("{}@example.com", name.to_lowercase());
        let reply = sign_up(&mut client, name, &email, PASSWORD, &format!("{name}'s team")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let org = reply.header("location").trim_start_matches("/o/").trim_end_matches('/').to_owned();
        Person { client, email, org }
    }

    /// Somebody who signs up and joins another one's organization with this role.
    pub async fn joins(&self, name: &str, org: &str, role: Role) -> Person {
        let mut person = self.sign_up(name).await;
        sqlx::query(
            "insert into memberships (organization_id, user_id, role)
             select o.id, u.id, $3 from organizations o, users u where o.slug = $1 and u.email = $2",
        )
        .bind(org)
        .bind(&person.email)
        .bind(role.as_str())
        .execute(&mut self.owner().await)
        .await
        .expect("membership");
        org.clone_into(&mut person.org);
        person
    }
}

/// Sends the form of the sign-up.
pub async fn sign_up(client: &mut Client, name: &str, email: &str, password: &str, organization: &str) -> Reply {
    let fields = [("name", name), ("email", email), ("password", password), ("organization", organization)];
    client.post_form(SignUp::PATH, &fields).await
}

/// Sends the form of the sign-in.
pub async fn sign_in(client: &mut Client, email: &str, password: &str) -> Reply {
    client.post_form(SignIn::PATH, &[("email", email), ("password", password)]).await
}

/// Whether the server knows this browser.
pub async fn is_signed_in(client: &mut Client) -> bool {
    let reply = client.post_form(LoadSettings::PATH, &[("org", "nobody-s-team")]).await;
    match reply.status.0.as_u16() {
        // Known to the server, and no member there.
        404 => true,
        401 => false,
        other => panic!("{other}: {}", reply.text()),
    }
}
