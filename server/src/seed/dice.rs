//! Chance that comes out the same for the same seed.

use agentflow::engine::retry::{scramble, seed_of};

/// A row of numbers (splitmix64) that a seed and a subject determine: what one case draws changes nothing in another.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of a seed about a subject.
    pub fn new(seed: u64, subject: &str) -> Self {
        Self(scramble(seed) ^ seed_of(subject))
    }

    fn draw(&mut self) -> u64 {
        let drawn = scramble(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        drawn
    }

    /// A number from 0 to below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % end.max(1) as u64).unwrap_or_default()
    }

    /// A number from 0 to below 1.
    pub fn part(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of several, by weight. Where all weights are nothing, the first.
    pub fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        weights
            .iter()
            .position(|weight| match left.checked_sub(*weight) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            })
            .unwrap_or_default()
    }

    /// Which of `all` are chosen, where exactly `wanted` are.
    pub fn choose(&mut self, wanted: usize, all: usize) -> Vec<bool> {
        let mut missing = wanted.min(all);
        let mut choice = Vec::with_capacity(all);
        for left in (1..=all).rev() {
            let chosen = self.below(left) < missing;
            missing -= usize::from(chosen);
            choice.push(chosen);
        }
        choice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_subject_give_the_same_numbers_and_others_give_others() {
        let row = |seed, subject| {
            let mut dice = Dice::new(seed, subject);
            [dice.below(1_000_000), dice.below(1_000_000), dice.below(1_000_000)]
        };
        assert_eq!(row(1, "a"), row(1, "a"));
        assert_ne!(row(1, "a"), row(2, "a"));
        assert_ne!(row(1, "a"), row(1, "b"));
    }

    #[test]
    fn exactly_as_many_are_chosen_as_are_wanted() {
        for (wanted, all) in [(0, 5), (5, 5), (9, 400), (1_922, 100_000), (7, 3)] {
            let choice = Dice::new(3, "choice").choose(wanted, all);
            assert_eq!(choice.len(), all);
            assert_eq!(choice.iter().filter(|chosen| **chosen).count(), wanted.min(all));
        }
    }

    #[test]
    fn what_weighs_nothing_is_not_drawn() {
        let mut dice = Dice::new(4, "weights");
        let mut drawn = [0; 3];
        for _ in 0..1_000 {
            drawn[dice.weighted(&[3, 0, 1])] += 1;
        }
        assert!(drawn[0] > drawn[2] && drawn[1] == 0 && drawn[2] > 150, "{drawn:?}");
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&dice.part())));
    }
}
