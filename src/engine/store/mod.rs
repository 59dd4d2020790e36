//! The engine's tables. `external` is what services do, in a transaction of their organization; `owner` is what the
//! process that owns a run does, under the engine's role, always naming its fence; `claims` is how it comes to own one;
//! `events` and `locks` are where both meet; `commit` is the one write that all decisions go through; `moved` is for
//! seeds alone.

#[cfg(any(agentflow_fault = "no_fence", agentflow_fault = "early_ack", agentflow_fault = "serial_feed"))]
mod broken;
mod claims;
mod commit;
mod events;
mod external;
mod gates;
mod groups;
mod locks;
mod moved;
mod owner;
mod values;

pub use claims::{Room, Round};
pub use commit::{Commit, Committed, commit};
pub use events::{deliver, expect_event, keep_event, received_events, undelivered};
pub use external::{Begin, First, Fresh, NewRun, Signal, signal, start_run, take_over, tell};
pub use gates::{Settled, settle_approvals};
pub use groups::{Group, admit, admit_after, groups_with_room};
pub use locks::{LockWish, ask_for_locks, forsaken_locks, held_locks, pass_on, unlock};
pub use moved::{Moved, move_ended};
pub use owner::{
    Claim, Loaded, Plans, beat, give_back, is_owner, load, note_suspect, notify, owned, postpone, reap, register,
    retire, settle_writes, signalled, signals_after,
};
pub use values::{as_stored, digest, is_small, pack, unpack, value};
