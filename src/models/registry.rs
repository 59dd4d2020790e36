//! The models that can be chosen, and what leads to them: the operator's connections and an organization's own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    ModelId, ModelInfo, ModelSettings, SANDBOX, SANDBOX_LABEL,
    class::Class,
    classes,
    connection::{Connection, Connections},
    prices::Prices,
    provider::{Patience, Provider},
    sandbox::Sandbox,
};
use crate::{
    egress::Egress,
    engine::{
        journal::Usage,
        port::{Message, ModelCall},
        state::{ErrorClass, StepError},
    },
    kernel::{Money, OrgId, Result},
};

/// What hears the pieces of an answer while it is being written.
pub type OnText<'a> = &'a (dyn Fn(String) + Send + Sync);

/// How long a provider may take to answer a probe.
const PROBE: Duration = Duration::from_secs(10);
/// Clients that are remembered, beyond which those that nobody uses are forgotten.
const REMEMBERED: usize = 1_000;
/// The rank of the operator's connections: an organization that has brought its own key is served by that.
const OPERATOR_RANK: i16 = i16::MAX;
/// What the operator's first connection to a provider is called.
pub const OPERATOR: &str = "operator";

/// The models that can be chosen. Cheap to clone.
#[derive(Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

struct Inner {
    egress: Egress,
    sandbox: Sandbox,
    operator: Vec<Connection>,
    connections: Arc<dyn Connections>,
    /// By provider and connection. A client keeps what is known of its connection, so it lasts as long as that is the same.
    clients: Mutex<HashMap<(String, String), Arc<Provider>>>,
    /// Counts calls, so that equal connections have their turn.
    turn: AtomicUsize,
    /// What organizations have named for a class, as far as this process has seen it.
    named: Mutex<BTreeMap<Class, BTreeSet<String>>>,
    prices: Prices,
}

impl Models {
    /// The sandbox model, those of the providers that the operator has set up, and those of the organizations' own.
    ///
    /// # Errors
    /// When a provider's client cannot be made; the error is a sentence.
    pub fn new(
        settings: ModelSettings,
        egress: &Egress,
        connections: Arc<dyn Connections>,
    ) -> std::result::Result<Self, String> {
        let mut operator: Vec<Connection> = Vec::new();
        let prices = settings.prices;
        for provider in settings.providers {
            let before = operator.iter().filter(|one| one.provider.name == provider.name).count();
            let id = if before == 0 { OPERATOR.to_owned() } else { format!("{OPERATOR}-{}", before + 1) };
            operator.push(Connection { id, rank: OPERATOR_RANK, by_operator: true, provider });
        }
        for connection in &operator {
            Provider::new(connection, egress.for_operator(), prices.clone())?;
        }
        let inner = Inner {
            egress: egress.clone(),
            sandbox: Sandbox::new(settings.sandbox_pause),
            operator,
            connections,
            clients: Mutex::default(),
            turn: AtomicUsize::new(0),
            named: Mutex::default(),
            prices,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The models that an organization can choose from, the sandbox model first.
    ///
    /// # Errors
    /// When its connections cannot be read.
    pub async fn available(&self, org: OrgId) -> Result<Vec<ModelInfo>> {
        Ok(self.offered(&self.own(org).await?))
    }

    /// Whether a model of this id could be called: one of those on offer, another one of a provider that is set up, or a
    /// class of tasks.
    ///
    /// # Errors
    /// When the organization's connections cannot be read.
    pub async fn knows(&self, org: OrgId, id: &str) -> Result<bool> {
        Ok(Class::of(id).is_some() || self.can_call(id, &self.own(org).await?))
    }

    /// The model that a new agent begins with: the first real one, else the sandbox model.
    ///
    /// # Errors
    /// When the organization's connections cannot be read.
    pub async fn first_choice(&self, org: OrgId) -> Result<ModelInfo> {
        Ok(self.offered(&self.own(org).await?).into_iter().find(|model| !model.sandbox).unwrap_or_else(sandbox))
    }

    /// The most that a call uses: that of the dearest model which may answer it. Of a model that costs nothing only the
    /// tokens are known.
    #[must_use]
    pub fn most(&self, call: &ModelCall) -> Usage {
        let (tokens_in, tokens_out) = (call.tokens_in_at_most(), call.max_answer().unwrap_or(0));
        let of =
            |model: &str| self.prices().of(model).map_or(Money::ZERO, |priced| priced.row.most(tokens_in, tokens_out));
        let of_any = |asked: &String| match Class::of(asked) {
            Some(class) => {
                let named = self.inner.named.lock().unwrap_or_else(PoisonError::into_inner);
                let named = named.get(&class).into_iter().flatten().map(|model| of(model)).max();
                classes::usual(class).iter().map(|model| of(model)).max().max(named).unwrap_or(Money::ZERO)
            }
            None => of(asked),
        };
        let cost = std::iter::once(&call.model).chain(&call.fallbacks).map(of_any).max().unwrap_or(Money::ZERO);
        Usage { tokens_in, tokens_out, cost }
    }

    /// Asks a provider for a few words, to find out whether its key and address are good. Gives the model that answered.
    ///
    /// # Errors
    /// Classed: what the provider says.
    pub async fn probe(&self, connection: &Connection) -> std::result::Result<String, StepError> {
        let name = &connection.provider.name;
        let first = || self.prices().of_provider(name).next().map(|row| row.id.clone());
        let model = connection.provider.models.first().map(|model| format!("{name}/{model}")).or_else(first);
        let model = model.ok_or_else(|| bad("Name at least one model of this provider."))?;
        let id = ModelId::parse(&model).map_err(bad)?;
        // Apart from the client that calls go through: what is tried says nothing of what is in use.
        let provider = self.make(connection)?;
        let messages = vec![Message::User { text: "Answer with the word: ready".to_owned() }];
        let call = ModelCall { model: model.clone(), messages, max_tokens: Some(16), ..ModelCall::default() };
        let patience = Patience { first: PROBE, between: PROBE, whole: PROBE };
        let answer = tokio::time::timeout(PROBE, provider.call(&id, &call, patience, &|_| {})).await;
        let late = || StepError::new(ErrorClass::Timeout, "model.timeout", "The provider did not answer in time.");
        answer.map_err(|_| late())?.map(|_| model)
    }

    /// The organization's own connections.
    pub(super) async fn own(&self, org: OrgId) -> Result<Vec<Connection>> {
        self.inner.connections.of(org).await
    }

    pub(super) fn prices(&self) -> &Prices {
        &self.inner.prices
    }

    pub(super) fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    pub(super) fn turn(&self) -> usize {
        self.inner.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn all<'a>(&'a self, own: &'a [Connection]) -> impl Iterator<Item = &'a Connection> {
        own.iter().chain(&self.inner.operator)
    }

    /// The sandbox model, and what the connections offer, each once.
    pub(super) fn offered(&self, own: &[Connection]) -> Vec<ModelInfo> {
        let mut models = vec![sandbox()];
        for Connection { provider, .. } in self.all(own) {
            if provider.models.is_empty() {
                models.extend(self.prices().of_provider(&provider.name).map(|row| row.info(&provider.label)));
            }
            models.extend(provider.models.iter().map(|name| {
                let id = format!("{}/{name}", provider.name);
                self.prices().find(&id).map_or_else(
                    || unpriced(&id, name, &provider.label),
                    |row| ModelInfo { id: id.clone(), ..row.info(&provider.label) },
                )
            }));
        }
        let mut seen = HashSet::new();
        models.retain(|model| seen.insert(model.id.clone()));
        models
    }

    /// Whether there is a way to a model.
    pub(super) fn can_call(&self, id: &str, own: &[Connection]) -> bool {
        id == SANDBOX || ModelId::parse(id).is_ok_and(|id| !self.connections_of(&id, own).is_empty())
    }

    /// The connections by which a model is called: those of its provider that name it, or name none; where no connection
    /// names it, all of its provider's.
    pub(super) fn connections_of<'a>(&'a self, id: &ModelId, own: &'a [Connection]) -> Vec<&'a Connection> {
        let found: Vec<&Connection> = self.all(own).filter(|one| one.provider.name == id.provider()).collect();
        let names = |one: &&Connection| {
            one.provider.models.is_empty() || one.provider.models.iter().any(|model| model == id.name())
        };
        if found.iter().any(names) { found.into_iter().filter(names).collect() } else { found }
    }

    /// The client of a connection, made when it is first called and kept while the connection is the same.
    pub(super) fn client(&self, connection: &Connection) -> std::result::Result<Arc<Provider>, StepError> {
        let key = (connection.provider.name.clone(), connection.id.clone());
        let mut clients = self.inner.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key).filter(|client| client.is_of(connection)) {
            return Ok(client.clone());
        }
        let made = Arc::new(self.make(connection)?);
        if clients.len() >= REMEMBERED {
            clients.retain(|_, client| Arc::strong_count(client) > 1);
        }
        clients.insert(key, made.clone());
        Ok(made)
    }

    fn make(&self, connection: &Connection) -> std::result::Result<Provider, StepError> {
        let http = match &connection.provider.base_url {
            Some(base) if !connection.by_operator => self.inner.egress.for_base(base)?,
            _ => self.inner.egress.for_operator(),
        };
        Provider::new(connection, http, self.prices().clone()).map_err(bad)
    }

    /// Notes what an organization has named for a class, for what calls may cost.
    pub(super) fn note_class(&self, class: Class, named: &[String]) {
        // Of the price table's rows: so many there are at most.
        let rows = named.iter().filter_map(|model| self.prices().of(model)).map(|priced| priced.row.id.clone());
        let mut noted = self.inner.named.lock().unwrap_or_else(PoisonError::into_inner);
        noted.entry(class).or_default().extend(rows);
    }
}

fn bad(message: impl Into<String>) -> StepError {
    StepError::new(ErrorClass::BadInput, "model.unknown", message)
}

fn sandbox() -> ModelInfo {
    ModelInfo {
        id: SANDBOX.to_owned(),
        label: SANDBOX_LABEL.to_owned(),
        provider: "AgentFlow".to_owned(),
        context: None,
        price: None,
        sandbox: true,
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
