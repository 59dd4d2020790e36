//! The parts that all pages are made of. The rules they follow (states, forms, tables, words) are those of the design
//! language; a page that uses them follows the rules without thinking of them.

pub mod button;
pub mod dialog;
pub mod failure;
pub mod field;
pub mod form;
pub mod fragment;
pub mod icon;
pub mod json;
pub mod layout;
pub mod live;
pub mod status;
pub mod table;
pub mod time;
pub mod title;

pub use button::{Button, LinkButton, Look, Submit};
pub use dialog::{CancelDialog, Dialog, OpenDialog};
pub use failure::{Failure, NotFoundBody, PageFailure};
pub use field::{Checkbox, Choice, Field, RadioGroup, Select, TextArea};
pub use form::{Form, FormAction, FormState};
pub use fragment::{Fragment, Html};
pub use icon::{Glyph, Icon};
pub use json::{CopyButton, Json, visible};
pub use layout::{Callout, Card, Crumb, EmptyState, Kv, KvList, PageHeader, Pager, Skeleton, Tab, Tabs, Tone};
pub use live::Announcer;
pub use status::{Family, Reversibility, Status, StatusBadge, StatusText, kind_glyph, kind_word};
pub use table::{DataTable, NoValue, Order, Th};
pub use time::{Clock, Time};
pub use title::Title;
