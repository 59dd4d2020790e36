//! The context of an operation, and grants: a service asks for a [`Grant`] of the right it needs, and the only way to
//! one is [`Ctx::grant`], which reads the permission table.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use super::{Actor, OrgRef, Permission, Role};
use crate::{
    deps::Deps,
    kernel::{Error, OrgId, Result},
};

/// Who asks, in which organization, with which role, and what the operation may use. Cheap to clone.
#[derive(Clone)]
pub struct Ctx {
    inner: Arc<Inner>,
    is_fresh: bool,
}

struct Inner {
    actor: Actor,
    org: OrgRef,
    role: Role,
    request_id: String,
    deps: Deps,
}

impl Ctx {
    /// The context of a request whose actor has been proven to belong to the organization with this role.
    #[must_use]
    pub fn new(deps: Deps, actor: Actor, org: OrgRef, role: Role, request_id: String) -> Self {
        Self { inner: Arc::new(Inner { actor, org, role, request_id, deps }), is_fresh: false }
    }

    /// The same, of a person who is signed in: freshly, or for longer. Programs and runs never are.
    #[must_use]
    pub fn with_sign_in(self, is_fresh: bool) -> Self {
        Self { is_fresh, ..self }
    }

    /// Who asks.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.inner.actor
    }

    /// The organization, with its name and address.
    #[must_use]
    pub fn org(&self) -> &OrgRef {
        &self.inner.org
    }

    /// The organization's id.
    #[must_use]
    pub fn org_id(&self) -> OrgId {
        self.inner.org.id
    }

    /// The actor's role there.
    #[must_use]
    pub fn role(&self) -> Role {
        self.inner.role
    }

    /// The request's id, as in the log.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.inner.request_id
    }

    /// What operations work with.
    #[must_use]
    pub fn deps(&self) -> &Deps {
        &self.inner.deps
    }

    /// The proof that the actor's role has a right.
    ///
    /// # Errors
    /// `forbidden`, with the role that is needed.
    pub fn grant<R: right::Right>(&self) -> Result<Grant<R>> {
        if self.role().may(R::PERMISSION) {
            return Ok(Grant { ctx: self.clone(), right: PhantomData });
        }
        let least = R::PERMISSION.least_role();
        let who = match least {
            Role::Owner => "owners",
            Role::Admin => "owners and admins",
            Role::Member | Role::Viewer => "owners, admins and members",
        };
        Err(Error::forbidden(format!("Only {who} can {}. Ask one of them.", R::PERMISSION.words())))
    }

    /// The proof that the actor's role has a right, and that the person signed in a short while ago. `to` says what for,
    /// to end the sentence "Sign in again to".
    ///
    /// # Errors
    /// `forbidden`, with the role that is needed; `reauth`.
    pub fn fresh_grant<R: right::Right>(&self, to: &str) -> Result<FreshGrant<R>> {
        let grant = self.grant()?;
        if self.is_fresh { Ok(FreshGrant(grant)) } else { Err(Error::reauth(to)) }
    }
}

/// The proof of a right of somebody who signed in within the last two hours. What must not be done with a session that
/// was stolen or left open takes it in place of a [`Grant`]; the only way to one is [`Ctx::fresh_grant`].
pub struct FreshGrant<R>(Grant<R>);

impl<R> Deref for FreshGrant<R> {
    type Target = Grant<R>;
    fn deref(&self) -> &Grant<R> {
        &self.0
    }
}

/// The proof of a right, and with it the context that it holds in.
pub struct Grant<R> {
    ctx: Ctx,
    right: PhantomData<R>,
}

impl<R> Deref for Grant<R> {
    type Target = Ctx;
    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

/// The rights that a [`Grant`] can prove, one type for each permission that an operation asks for.
pub mod right {
    use super::Permission;

    /// A type that stands for a permission.
    pub trait Right {
        /// The permission in the table.
        const PERMISSION: Permission;
    }

    macro_rules! rights {
        ($($name:ident),* $(,)?) => {$(
            #[doc = concat!("The right of [`Permission::", stringify!($name), "`].")]
            pub enum $name {}
            impl Right for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )*};
    }

    rights!(
        View,
        ViewPayloads,
        Operate,
        Build,
        Decide,
        Deploy,
        ManageMembers,
        ManageKeys,
        ViewAudit,
        ManageAdmins,
        ExportAudit,
        ManageOrganization,
    );
}
