//! How the server makes a part.

use leptos::prelude::*;

use super::Html;

impl Html {
    /// The HTML of a view. What the view reads from the context is there; what it makes ends with it.
    pub fn of<V: IntoView>(view: impl FnOnce() -> V) -> Self {
        let owner = Owner::new();
        let html = owner.with(|| view().into_view().to_html());
        owner.cleanup();
        // Marks for a browser that takes a view over: nobody takes a part over. No text holds them, as its `<` is escaped.
        Self(html.replace("<!>", "").replace("<!--<() />-->", ""))
    }

    /// Several parts one after the other.
    #[must_use]
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        Self(parts.into_iter().map(|part| part.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::fragment::Fragment;

    #[test]
    fn texts_of_a_view_cannot_become_markup() {
        let text = "<script>alert(1)</script> & \"more\"".to_owned();
        let title = text.clone();
        let html = Html::of(move || view! { <p title=title>{text}</p> });
        let written = html.clone().into_inner();
        assert!(!written.contains("<script>") && written.contains("&lt;script"), "{written}");
        // And as a part of another view it is written as it is.
        let whole = Html::of(move || view! { <Fragment html class="part"/> }).into_inner();
        assert_eq!(whole, format!("<div class=\"part\">{written}</div>"));
    }

    #[test]
    fn a_skipped_part_is_no_data_of_the_page() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Loaded {
            total: u64,
            #[serde(skip)]
            rows: Html,
        }
        let loaded = Loaded { total: 2, rows: Html::of(|| view! { <p>"A"</p> }) };
        let json = serde_json::to_string(&loaded).unwrap_or_default();
        assert_eq!(json, r#"{"total":2}"#);
        assert!(serde_json::from_str::<Loaded>(&json).is_ok_and(|read| read.total == 2 && read.rows.is_empty()));
        assert!(!loaded.rows.is_empty());
    }
}
