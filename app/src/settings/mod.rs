//! Settings: one's own profile, the organization's rules, and its API keys.

pub mod api;
mod keys;
mod organization;
mod profile;

use leptos::prelude::*;

use crate::{
    frame::use_org,
    kit::{Card, FormAction, PageFailure, PageHeader, Skeleton, Title},
    wire::{loading, on_success},
};
use api::{CreateApiKey, Settings, UpdateProfile, load_settings};

/// The page of the settings.
#[component]
pub fn SettingsPage() -> impl IntoView {
    let org = use_org();
    let save = FormAction::new::<UpdateProfile>();
    let create = FormAction::new::<CreateApiKey>();
    // Counts what was changed.
    let changes = RwSignal::new(0_u32);
    on_success(save, move || changes.update(|count| *count += 1));
    on_success(create, move || changes.update(|count| *count += 1));
    let slug = org.clone();
    let settings = loading(move || changes.get(), move |_| load_settings(slug.clone()));
    let show = move |org: String, settings: Settings| {
        let Settings { profile, role, organization, keys } = settings;
        view! {
            <div class="stack narrow">
                <Card title="Profile">
                    <profile::ProfileForm profile action=save/>
                </Card>
                <organization::RunsCard org=org.clone() max_running=organization.max_running role/>
                <organization::OrganizationCard org=org.clone() settings=organization role/>
                <organization::ModelsCard org=org.clone()/>
                <keys::KeysCard org keys role create changes/>
            </div>
        }
        .into_any()
    };
    view! {
        <Title text="Settings"/>
        <PageHeader title="Settings"/>
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match settings.await {
                        Ok(settings) => show(org, settings),
                        Err(error) => view! { <PageFailure error/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}
