//! Who may do what: roles, permissions, and the one table that joins them. Pure, so that the screen hides what the
//! server would refuse. On the server a [`context::Grant`] is the proof of a permission that an operation asks for, and a
//! [`context::FreshGrant`] that the person has also signed in a short while ago.

#[cfg(feature = "ssr")]
pub mod context;

use serde::{Deserialize, Serialize};

use crate::kernel::{ApiKeyId, OrgId, RunId, UserId};

#[cfg(feature = "ssr")]
pub use context::{Ctx, FreshGrant, Grant, right};

/// A membership's role, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Builds and runs.
    Member,
    /// Deploys, connects, invites.
    Admin,
    /// Everything, the plan and the organization's end included.
    Owner,
}

impl Role {
    /// All roles, the greatest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Viewer];

    /// The word in the database, in the API and on screen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Those who have it or a greater one, in the plural.
    #[must_use]
    pub const fn and_above(self) -> &'static str {
        match self {
            Self::Owner => "owners",
            Self::Admin => "admins and owners",
            Self::Member => "members, admins and owners",
            Self::Viewer => "all members",
        }
    }

    /// The permission table.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        self >= permission.least_role()
    }
}

/// Something that a role may or may not do. The rows of the table in `spec/governance.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See agents, workflows, runs, usage.
    View,
    /// See inputs, outputs and logs of runs: a right of its own, on by default.
    ViewPayloads,
    /// Run, test, cancel, retry.
    Operate,
    /// Make and edit agents, workflows, knowledge.
    Build,
    /// Decide approvals. A viewer may when an approval names them: the approval says so, see `approvals`.
    Decide,
    /// Deploy versions, connect integrations, webhooks, schedules, plugins, policies.
    Deploy,
    /// Invite and remove members and viewers.
    ManageMembers,
    /// Make and revoke API keys, never with more than one's own rights.
    ManageKeys,
    /// See the audit log.
    ViewAudit,
    /// Make or remove an admin or owner.
    ManageAdmins,
    /// Export the audit log.
    ExportAudit,
    /// Plan, payment, transfer, the organization's end.
    ManageOrganization,
}

impl Permission {
    /// All permissions, in the table's order.
    pub const ALL: [Self; 12] = [
        Self::View,
        Self::ViewPayloads,
        Self::Operate,
        Self::Build,
        Self::Decide,
        Self::Deploy,
        Self::ManageMembers,
        Self::ManageKeys,
        Self::ViewAudit,
        Self::ManageAdmins,
        Self::ExportAudit,
        Self::ManageOrganization,
    ];

    /// The least role that has it.
    #[must_use]
    pub const fn least_role(self) -> Role {
        match self {
            Self::View | Self::ViewPayloads => Role::Viewer,
            Self::Operate | Self::Build | Self::Decide => Role::Member,
            Self::Deploy | Self::ManageMembers | Self::ManageKeys | Self::ViewAudit => Role::Admin,
            Self::ManageAdmins | Self::ExportAudit | Self::ManageOrganization => Role::Owner,
        }
    }

    /// What it allows, to end the sentence "Only … can".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::View => "see this",
            Self::ViewPayloads => "see inputs, outputs and logs",
            Self::Operate => "run, test, stop and retry",
            Self::Build => "make and edit agents and workflows",
            Self::Decide => "decide approvals",
            Self::Deploy => "deploy versions and change connections",
            Self::ManageMembers => "invite and remove members",
            Self::ManageKeys => "make and revoke API keys",
            Self::ViewAudit => "see the audit log",
            Self::ManageAdmins => "make or remove admins and owners",
            Self::ExportAudit => "export the audit log",
            Self::ManageOrganization => "change the plan or the organization itself",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// A person who is signed in.
    User {
        /// The person.
        id: UserId,
        /// The name to show.
        name: String,
    },
    /// A program with an API key.
    Key {
        /// The key.
        id: ApiKeyId,
        /// The key's name.
        name: String,
    },
    /// A run, through a tool.
    Run {
        /// The run.
        id: RunId,
    },
}

impl Actor {
    /// The name to show.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::User { name, .. } | Self::Key { name, .. } => name,
            Self::Run { .. } => "a run",
        }
    }

    /// `user:<uuid>`, `key:<uuid>`, `run:<uuid>`: what the database keeps.
    #[must_use]
    pub fn reference(&self) -> String {
        match self {
            Self::User { id, .. } => format!("user:{}", id.uuid()),
            Self::Key { id, .. } => format!("key:{}", id.uuid()),
            Self::Run { id } => format!("run:{}", id.uuid()),
        }
    }

    /// The person, if it is one.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Key { .. } | Self::Run { .. } => None,
        }
    }
}

/// An organization as the frame of a page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgRef {
    /// Its id.
    pub id: OrgId,
    /// Its name.
    pub name: String,
    /// Its part of the address: `/o/{slug}`.
    pub slug: String,
}

#[cfg(test)]
mod tests {
    use super::{Permission, Role};

    /// `spec/governance.md`, row by row: owner, admin, member, viewer.
    #[test]
    fn the_table_is_the_one_that_was_agreed() {
        let table = [
            (Permission::View, [true, true, true, true]),
            (Permission::ViewPayloads, [true, true, true, true]),
            (Permission::Operate, [true, true, true, false]),
            (Permission::Build, [true, true, true, false]),
            (Permission::Decide, [true, true, true, false]),
            (Permission::Deploy, [true, true, false, false]),
            (Permission::ManageMembers, [true, true, false, false]),
            (Permission::ManageKeys, [true, true, false, false]),
            (Permission::ViewAudit, [true, true, false, false]),
            (Permission::ManageAdmins, [true, false, false, false]),
            (Permission::ExportAudit, [true, false, false, false]),
            (Permission::ManageOrganization, [true, false, false, false]),
        ];
        assert_eq!(table.len(), Permission::ALL.len());
        for (permission, cells) in table {
            assert_eq!(Role::ALL.map(|role| role.may(permission)), cells, "{permission:?}");
        }
    }
}
