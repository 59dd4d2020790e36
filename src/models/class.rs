//! Classes of tasks: what a model is wanted for, instead of which one.

use serde::{Deserialize, Serialize};

/// What stands for the provider in a class's id.
pub(super) const PROVIDER: &str = "class";

/// The models of a class, as an organization sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassModels {
    /// The class.
    pub class: Class,
    /// The models, in the order in which they are asked.
    pub models: Vec<String>,
    /// Whether the organization has named them.
    pub is_own: bool,
}

/// A class of tasks. `class/routine` can stand wherever a model's id can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What takes thought: the ablest models.
    ComplexReasoning,
    /// What is written to be read with pleasure.
    Creative,
    /// What is done often and is simple: the cheap models.
    Routine,
    /// What does harm when it goes wrong: the careful models.
    SafetyCritical,
    /// What wants facts from outside.
    Research,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ComplexReasoning, Self::Creative, Self::Routine, Self::SafetyCritical, Self::Research];

    /// Its name, as the id and the database have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ComplexReasoning => "complex_reasoning",
            Self::Creative => "creative",
            Self::Routine => "routine",
            Self::SafetyCritical => "safety_critical",
            Self::Research => "research",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ComplexReasoning => "Complex reasoning",
            Self::Creative => "Creative",
            Self::Routine => "Routine",
            Self::SafetyCritical => "Safety-critical",
            Self::Research => "Research",
        }
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::ComplexReasoning => "What takes thought: the ablest models.",
            Self::Creative => "What is written to be read with pleasure.",
            Self::Routine => "What is done often and is simple: the cheap models.",
            Self::SafetyCritical => "What does harm when it goes wrong: the careful models.",
            Self::Research => "What wants facts from outside.",
        }
    }

    /// The class that a budget may lower it to; nothing for what must be done with care, and for what is cheap already.
    #[must_use]
    pub const fn lowered(self) -> Option<Self> {
        match self {
            Self::ComplexReasoning | Self::Creative | Self::Research => Some(Self::Routine),
            Self::Routine | Self::SafetyCritical => None,
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// What stands for it where a model's id is wanted.
    #[must_use]
    pub fn id(self) -> String {
        format!("{PROVIDER}/{}", self.name())
    }

    /// The class that an id stands for; nothing where it is a model's.
    #[must_use]
    pub fn of(id: &str) -> Option<Self> {
        Self::named(id.strip_prefix(PROVIDER)?.strip_prefix('/')?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_done_with_care_is_never_lowered() {
        let lowered = Class::ALL.map(Class::lowered);
        assert_eq!(lowered, [Some(Class::Routine), Some(Class::Routine), None, None, Some(Class::Routine)]);
    }

    #[test]
    fn a_class_has_an_id_like_a_model() {
        for class in Class::ALL {
            assert_eq!(Class::of(&class.id()), Some(class));
            assert!(super::super::ModelId::parse(&class.id()).is_ok());
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
        for id in ["class/", "class/urgent", "classroutine", "openai/routine"] {
            assert_eq!(Class::of(id), None, "{id}");
        }
    }
}
