//! Two runs beside each other. The server writes the page as HTML, and the browser only puts it in: all of it is links
//! and forms.

pub mod api;
#[cfg(feature = "ssr")]
mod drawn;

use agentflow::kernel::{Error, RunId};
use leptos::prelude::*;
use leptos_router::{
    ParamSegment, PartialPathMatch, PathSegment, PossibleRouteMatch, StaticSegment,
    hooks::{use_params_map, use_query_map},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::ApiError,
    frame::use_org,
    kit::{Fragment, Html, Title},
    wire::{Loaded, loading},
};

/// The addresses of a comparison: `{run}...{run}`, and `{run}/compare`, with the other run as `with`, if one is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Compared;

impl Compared {
    const RUN: ParamSegment = ParamSegment("id");
    const CHOOSING: (ParamSegment, StaticSegment<&'static str>) = (Self::RUN, StaticSegment("compare"));
}

impl PossibleRouteMatch for Compared {
    fn optional(&self) -> bool {
        false
    }

    fn test<'a>(&self, path: &'a str) -> Option<PartialPathMatch<'a>> {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if first.contains("...") { Self::RUN.test(path) } else { Self::CHOOSING.test(path) }
    }

    // To the server's own router a pair is a run like any other.
    fn generate_path(&self, path: &mut Vec<PathSegment>) {
        Self::CHOOSING.generate_path(path);
    }
}

/// What the page is made of: in the browser's first drawing it stands in the page already.
#[derive(Clone, Serialize, Deserialize)]
struct Drawn {
    title: String,
    #[serde(skip)]
    html: Html,
}

/// The page.
#[component]
pub fn ComparePage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let source = move || {
        let asked = |name: &str| query.with(|query| query.get(name)).unwrap_or_default();
        let id = params.with(|params| params.get("id")).unwrap_or_default();
        let (run, with) = match id.split_once("...") {
            Some((with, run)) => (run.to_owned(), with.to_owned()),
            None => (id, asked("with")),
        };
        (org.get(), run, with, asked("show"), asked("from"), asked("step"))
    };
    let page = loading(source, |(org, run, with, show, from, step)| async move {
        let run: RunId = run.parse().map_err(|_| ApiError(Error::not_found("run")))?;
        let (title, html) = api::load_comparison(org, run, with, show, from, step).await?;
        Ok(Drawn { title, html })
    });
    let view = |Drawn { title, html }: Drawn| {
        view! {
            <Title text=Signal::stored(title)/>
            <Fragment html/>
        }
        .into_any()
    };
    view! { <Loaded resource=page view/> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_runs_and_the_choice_of_one_are_addresses_of_a_comparison_and_a_run_is_none() {
        for (path, whole) in
            [("/run_a...run_b", true), ("/run_a/compare", true), ("/run_a", false), ("/run_a/again", false)]
        {
            let matched = Compared.test(path).map(|matched| matched.matched().to_owned());
            assert_eq!(matched.as_deref(), whole.then_some(path), "{path}");
        }
    }
}
