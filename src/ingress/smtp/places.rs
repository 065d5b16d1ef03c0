//! How many connections there are, in all and from each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places of all listeners together.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_per_client: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// This client has as many as one client may have.
    Client,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    /// So many places, and so many of them for one client.
    #[must_use]
    pub fn new(most: usize, most_per_client: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_client, taken: Mutex::default() })
    }

    /// A place for a client.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(self: &Arc<Self>, client: IpAddr) -> Result<Place, Full> {
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= self.most {
            return Err(Full::All);
        }
        if taken.get(&client).is_some_and(|count| *count >= self.most_per_client) {
            return Err(Full::Client);
        }
        *taken.entry(client).or_default() += 1;
        drop(taken);
        Ok(Place { places: Arc::clone(self), client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_there_are_and_what_is_given_back_is_free() {
        let places = Places::new(3, 2);
        let [ann, joe, sue]: [IpAddr; 3] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into(), [10, 0, 0, 3].into()];
        let first = places.take(ann).unwrap();
        let _second = places.take(ann).unwrap();
        assert_eq!(places.take(ann).unwrap_err(), Full::Client);
        let third = places.take(joe).unwrap();
        assert_eq!(places.take(sue).unwrap_err(), Full::All);
        drop(third);
        let _third = places.take(sue).unwrap();
        drop(first);
        let _fourth = places.take(ann).unwrap();
        assert_eq!(places.lock().len(), 2, "who has left is forgotten");
    }
}
