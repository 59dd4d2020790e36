//! A fault of ours ends one request, not the server.

use std::{any::Any, panic::AssertUnwindSafe};

use agentflow::kernel::Error;
use axum::{extract::Request, middleware::Next, response::Response};
use futures::FutureExt;

use super::refusal::Asker;

/// The layer.
pub async fn catch(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let asker = Asker::of(&parts);
    match AssertUnwindSafe(next.run(Request::from_parts(parts, body))).catch_unwind().await {
        Ok(response) => response,
        Err(cause) => asker.refuse(&Error::internal(words(&*cause))),
    }
}

fn words(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<&str>().copied();
    text.or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_without_its_words() {
        async fn fault() {
            panic!("secret inner state");
        }
        let router: Router = Router::new().route("/", get(fault)).layer(from_fn(catch));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("reference") && !body.contains("secret"), "{body}");
    }
}
