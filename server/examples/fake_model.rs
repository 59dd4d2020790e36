//! The tests' model server as a program of its own: prints its base addresses (OpenAI's and Anthropic's clients, then
//! Gemini's), serves until it is interrupted, and then tells what it was asked.

#![expect(clippy::expect_used, reason = "a program of the tests: it may fail so")]

#[path = "../tests/it/fake_model/mod.rs"]
mod model;

#[tokio::main]
async fn main() {
    let fake = model::FakeModel::start().await;
    println!("{}\n{}", fake.base_url(), fake.gemini_url());
    let _ = tokio::signal::ctrl_c().await;
    for call in fake.calls() {
        println!("{} with a key of {} letters: {}", call.model, call.authorization.len(), call.body);
    }
}
