//! Which way to try first: the last that worked.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::provider::Path;

/// The ways to the provider, and where to begin.
#[derive(Debug)]
pub struct Paths {
    all: Vec<Path>,
    labels: Vec<String>,
    first: AtomicUsize,
}

impl Paths {
    /// The ways in the order of the preset.
    #[must_use]
    pub fn new(all: Vec<Path>) -> Self {
        let labels = all.iter().map(ToString::to_string).collect();
        Self { all, labels, first: AtomicUsize::new(0) }
    }

    /// Every way once, beginning with the one that worked last, each with its place and label.
    pub fn in_order(&self) -> impl Iterator<Item = (usize, &Path, &str)> {
        let first = self.first.load(Ordering::Relaxed);
        let ways = self.all.iter().zip(&self.labels).enumerate();
        ways.clone().skip(first).chain(ways.take(first)).map(|(place, (path, label))| (place, path, label.as_str()))
    }

    /// Remembers a way that came to a conversation; true where that is news.
    pub fn worked(&self, place: usize) -> bool {
        self.first.load(Ordering::Relaxed) != place && self.first.swap(place, Ordering::Relaxed) != place
    }

    /// The place of the way to try first.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed)
    }

    /// The place of the way to try last.
    #[must_use]
    pub fn last(&self) -> usize {
        self.first().checked_sub(1).unwrap_or_else(|| self.all.len().saturating_sub(1))
    }

    /// Every way, the best first.
    #[must_use]
    pub fn all(&self) -> &[Path] {
        &self.all
    }

    /// The way at that place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Path> {
        self.all.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Server, Tls};

    #[test]
    fn the_last_that_worked_comes_first_and_none_is_left_out() {
        let path = |port| Path::Smtp(Server { host: "h".into(), port, tls: Tls::StartTls });
        let paths = Paths::new(vec![path(587), path(465), path(2525)]);
        let order = |paths: &Paths| paths.in_order().map(|(place, ..)| place).collect::<Vec<_>>();
        assert_eq!((order(&paths), paths.last()), (vec![0, 1, 2], 2));
        assert!(paths.worked(2) && !paths.worked(2));
        assert_eq!((order(&paths), paths.last()), (vec![2, 0, 1], 1));
    }
}
