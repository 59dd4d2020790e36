//! How many calls at a time another side bears, found out by trying: one more as long as all goes well, half as many when
//! it says that it is too much.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Calls at a time to a side that nothing is known of yet.
const FIRST: usize = 16;

/// The calls to one side. Those that find no place wait in the order in which they came.
#[derive(Debug)]
pub(super) struct Window {
    places: Arc<Semaphore>,
    state: Mutex<State>,
    most: usize,
}

#[derive(Debug)]
struct State {
    size: usize,
    /// Places that were taken away while somebody was in them: whoever leaves next leaves none behind.
    owed: usize,
    /// Calls that went well since the size changed.
    went_well: usize,
    /// Whether the side has never said that it is too much: until then each success makes the window wider.
    is_untried: bool,
    shrunk_at: Option<Instant>,
}

/// A call's place.
#[derive(Debug)]
pub(super) struct Place {
    window: Arc<Window>,
    /// Always there until the place is given up.
    permit: Option<OwnedSemaphorePermit>,
    begun: Instant,
}

impl Window {
    pub fn new(most: usize) -> Arc<Self> {
        let size = FIRST.min(most).max(1);
        let state = State { size, owed: 0, went_well: 0, is_untried: true, shrunk_at: None };
        Arc::new(Self { places: Arc::new(Semaphore::new(size)), state: Mutex::new(state), most: most.max(1) })
    }

    /// Waits for a place.
    pub async fn enter(self: Arc<Self>) -> Place {
        // The semaphore is never closed.
        let permit = self.places.clone().acquire_owned().await.ok();
        Place { window: self, permit, begun: Instant::now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The call went well.
    pub fn went_well(&self) {
        let mut state = self.window.state();
        state.went_well += 1;
        if (state.is_untried || state.went_well >= state.size) && state.size < self.window.most {
            state.size += 1;
            state.went_well = 0;
            match state.owed.checked_sub(1) {
                Some(owed) => state.owed = owed,
                None => self.window.places.add_permits(1),
            }
        }
    }

    /// It was too much. Of the calls that were under way together only the first one counts.
    pub fn was_too_much(&self) {
        let mut state = self.window.state();
        if state.shrunk_at.is_some_and(|at| self.begun <= at) {
            return;
        }
        let less = state.size - (state.size / 2).max(1);
        state.size -= less;
        state.owed += less - self.window.places.forget_permits(less);
        state.went_well = 0;
        state.is_untried = false;
        state.shrunk_at = Some(Instant::now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.window.state();
        if let Some(permit) = self.permit.take()
            && state.owed > 0
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn enter(window: &Arc<Window>) -> Option<Place> {
        window.clone().enter().now_or_never()
    }

    /// How many places there are, all of them taken.
    fn fill(window: &Arc<Window>) -> Vec<Place> {
        std::iter::from_fn(|| enter(window)).collect()
    }

    #[test]
    fn it_begins_with_sixteen_and_widens_until_it_is_too_much() {
        let window = Window::new(20);
        assert_eq!(fill(&window).len(), 16);
        for _ in 0..10 {
            enter(&window).unwrap().went_well();
        }
        assert_eq!(fill(&window).len(), 20, "and never beyond the most");
        assert_eq!(fill(&Window::new(3)).len(), 3);
    }

    #[test]
    fn calls_that_fail_together_halve_it_once_and_their_places_go_as_they_leave() {
        let window = Window::new(100);
        let mut inside = fill(&window);
        inside.iter().for_each(Place::was_too_much);
        inside.truncate(8);
        assert!(enter(&window).is_none(), "eight are inside, and eight is the most now");
        inside.clear();
        assert_eq!(fill(&window).len(), 8);
        for size in [4, 2, 1, 1] {
            enter(&window).unwrap().was_too_much();
            assert_eq!(fill(&window).len(), size);
        }
    }

    #[test]
    fn after_that_it_widens_by_one_for_each_full_window_of_successes() {
        let window = Window::new(100);
        fill(&window)[0].was_too_much();
        for expected in [8, 8, 8, 8, 8, 8, 8, 9] {
            enter(&window).unwrap().went_well();
            assert_eq!(fill(&window).len(), expected);
        }
    }

    #[test]
    fn widening_while_places_are_owed_pays_them_first() {
        let window = Window::new(100);
        let mut inside = fill(&window);
        inside[0].was_too_much();
        (0..8).for_each(|_| inside[1].went_well());
        inside.truncate(9);
        assert!(enter(&window).is_none());
        inside.truncate(8);
        assert!(enter(&window).is_some(), "nine is the most");
    }

    #[tokio::test]
    async fn who_waits_comes_in_by_turns_and_who_gives_up_is_passed_over() {
        let window = Window::new(1);
        let inside = enter(&window).unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(window.clone().enter())).collect();
        waiting.iter_mut().for_each(|one| assert!(one.now_or_never().is_none()));
        drop(waiting.remove(0));
        drop(inside);
        assert!((&mut waiting[1]).now_or_never().is_none());
        let second = (&mut waiting[0]).now_or_never().unwrap();
        drop(second);
        assert!((&mut waiting[1]).now_or_never().is_some());
    }
}
