//! Addresses of a log.

use agentflow::{
    access::Ctx,
    kernel::RunId,
    logs::{Place, address::LogAddress},
};

/// The query of the page at an address. Links on the page are but that: they stand in every line.
pub fn href(place: Place, address: &LogAddress) -> String {
    let query = address.write();
    match (place, query.is_empty()) {
        (Place::Run(_), true) => "?view=logs".to_owned(),
        (Place::Run(_), false) => format!("?view=logs&{query}"),
        (Place::Organization, _) => format!("?{query}"),
    }
}

/// The path of the page.
pub fn path(cx: &Ctx, place: Place) -> String {
    let org = &cx.org().slug;
    match place {
        Place::Run(run) => format!("/o/{org}/runs/{run}"),
        Place::Organization => format!("/o/{org}/logs"),
    }
}

/// The file with the same lines.
pub fn file(cx: &Ctx, place: Place, form: &str, address: &LogAddress) -> String {
    let path = path(cx, place);
    let query = LogAddress { filter: address.filter.clone(), ..LogAddress::default() }.write();
    match place {
        Place::Run(_) => format!("{path}/log.{form}?{query}"),
        Place::Organization => format!("{path}.{form}?{query}"),
    }
}

/// A line on its run's page.
pub fn line(cx: &Ctx, run: RunId, seq: i64) -> String {
    format!("{}?view=logs#L{seq}", path(cx, Place::Run(run)))
}
