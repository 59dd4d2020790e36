//! The models that can be chosen, and the one door to calling them.

use std::{sync::Arc, time::Duration};

use super::{
    ModelId, ModelInfo, ModelSettings, SANDBOX, SANDBOX_LABEL, connection::Connection, prices, provider::Provider,
    sandbox::Sandbox,
};
use crate::{
    egress::Egress,
    engine::{
        journal::Usage,
        port::{Message, ModelAnswer, ModelCall},
        state::{ErrorClass, StepError},
    },
    kernel::Money,
};

/// What hears the pieces of an answer while it is being written.
pub type OnText<'a> = &'a (dyn Fn(String) + Send + Sync);

/// The models that can be chosen. Cheap to clone.
#[derive(Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

/// How long a provider may take to answer a probe.
const PROBE: Duration = Duration::from_secs(10);

struct Inner {
    egress: Egress,
    sandbox: Sandbox,
    providers: Vec<Provider>,
    available: Vec<ModelInfo>,
}

impl Models {
    /// The sandbox model and those of the providers that are set up.
    ///
    /// # Errors
    /// When a provider's client cannot be made; the error is a sentence.
    pub fn new(settings: ModelSettings, egress: &Egress) -> Result<Self, String> {
        let mut available = vec![ModelInfo {
            id: SANDBOX.to_owned(),
            label: SANDBOX_LABEL.to_owned(),
            provider: "AgentFlow".to_owned(),
            context: None,
            price: None,
            sandbox: true,
        }];
        let mut providers = Vec::new();
        for one in settings.providers {
            if one.models.is_empty() {
                available.extend(prices::of_provider(&one.name).map(|row| row.info(&one.label)));
            }
            available.extend(one.models.iter().map(|name| {
                let id = format!("{}/{name}", one.name);
                prices::find(&id).map_or_else(
                    || unpriced(&id, name, &one.label),
                    |row| ModelInfo { id: id.clone(), ..row.info(&one.label) },
                )
            }));
            providers.push(Provider::new(one, egress.for_operator())?);
        }
        let sandbox = Sandbox::new(settings.sandbox_pause);
        Ok(Self { inner: Arc::new(Inner { egress: egress.clone(), sandbox, providers, available }) })
    }

    /// The models to choose from, the sandbox model first.
    #[must_use]
    pub fn available(&self) -> &[ModelInfo] {
        &self.inner.available
    }

    /// Whether a model of this id could be called: one of those on offer, or another one of a provider that is set up.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        id == SANDBOX || ModelId::parse(id).is_ok_and(|id| self.provider(id.provider()).is_some())
    }

    /// The model that a new agent begins with: the first real one, else the sandbox model.
    #[must_use]
    pub fn first_choice(&self) -> &ModelInfo {
        let list = &self.inner.available;
        list.iter().find(|model| !model.sandbox).unwrap_or(&list[0])
    }

    fn provider(&self, name: &str) -> Option<&Provider> {
        self.inner.providers.iter().find(|provider| provider.name() == name)
    }

    /// The most that a call uses. Of a model without a known price only the tokens are known.
    #[must_use]
    pub fn most(&self, call: &ModelCall) -> Usage {
        let (tokens_in, tokens_out) = (call.tokens_in_at_most(), call.max_tokens.unwrap_or(0));
        let cost = prices::find(&call.model).map_or(Money::ZERO, |row| prices::most(&row.price, tokens_in, tokens_out));
        Usage { tokens_in, tokens_out, cost }
    }

    /// Asks a provider for a few words, to find out whether its key and address are good. Gives the model that answered.
    ///
    /// # Errors
    /// Classed: what the provider says.
    pub async fn probe(&self, connection: &Connection) -> Result<String, StepError> {
        let http = if connection.by_operator {
            self.inner.egress.for_operator()
        } else {
            match &connection.provider.base_url {
                Some(base) => self.inner.egress.for_base(base)?,
                None => self.inner.egress.for_operator(),
            }
        };
        let name = &connection.provider.name;
        let first = || prices::of_provider(name).next().map(|row| row.id.clone());
        let model = connection.provider.models.first().map(|model| format!("{name}/{model}")).or_else(first);
        let bad = |message: &str| StepError::new(ErrorClass::BadInput, "model.unknown", message);
        let model = model.ok_or_else(|| bad("Name at least one model of this provider."))?;
        let id = ModelId::parse(&model).map_err(|message| bad(&message))?;
        let provider = Provider::new(connection.provider.clone(), http).map_err(|message| bad(&message))?;
        let messages = vec![Message::User { text: "Answer with the word: ready".to_owned() }];
        let call = ModelCall { model: model.clone(), messages, max_tokens: Some(16), ..ModelCall::default() };
        let answer = tokio::time::timeout(PROBE, provider.call(&id, &call, &|_| {})).await;
        let late = || StepError::new(ErrorClass::Timeout, "model.timeout", "The provider did not answer in time.");
        answer.map_err(|_| late())?.map(|_| model)
    }

    /// Calls a model. Dropping the future ends the call.
    ///
    /// # Errors
    /// Classed: what the provider says decides whether another attempt can help.
    pub async fn call(&self, call: &ModelCall, on_text: OnText<'_>) -> Result<ModelAnswer, StepError> {
        if call.model == SANDBOX {
            return Ok(self.inner.sandbox.call(call, on_text).await);
        }
        let id = ModelId::parse(&call.model)
            .map_err(|message| StepError::new(ErrorClass::BadInput, "model.unknown", message))?;
        let provider = self.provider(id.provider()).ok_or_else(|| {
            let message = format!(
                "No key is set for “{}”, so its models cannot be called. Set it where the server is started, or choose \
                 another model for the agent.",
                id.provider(),
            );
            StepError::new(ErrorClass::Auth, "model.no_key", message)
        })?;
        provider.call(&id, call, on_text).await
    }
}

fn unpriced(id: &str, name: &str, provider: &str) -> ModelInfo {
    ModelInfo {
        id: id.to_owned(),
        label: name.to_owned(),
        provider: provider.to_owned(),
        context: None,
        price: None,
        sandbox: false,
    }
}
