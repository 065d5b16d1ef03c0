//! Ids that nobody can guess, at the price of a few instructions.

use std::cell::RefCell;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Random bytes of an id; the other six are its time (RFC 9562 section 5.7).
const BYTES: usize = 10;
/// How many ids one call of the kernel is for.
const AT_ONCE: usize = 50;

thread_local! {
    static STOCK: RefCell<Vec<[u8; BYTES]>> = const { RefCell::new(Vec::new()) };
}

/// Random bytes from the system's generator, each given out once.
pub(super) fn bytes() -> [u8; BYTES] {
    STOCK.with_borrow_mut(|stock| {
        if stock.is_empty() {
            *stock = fresh();
        }
        stock.pop().unwrap_or_default()
    })
}

fn fresh() -> Vec<[u8; BYTES]> {
    let mut all = [0; BYTES * AT_ONCE];
    if SystemRandom::new().fill(&mut all).is_err() {
        // Mail leaves from a machine without a generator too; what is left is different, if not secret.
        fastrand::fill(&mut all);
    }
    all.as_chunks().0.to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_out_twice_on_any_thread() {
        let on_a_thread = || std::thread::spawn(|| (0..3 * AT_ONCE).map(|_| bytes()).collect::<Vec<_>>());
        let threads: Vec<_> = (0..4).map(|_| on_a_thread()).collect();
        let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4 * 3 * AT_ONCE);
        assert!(!all.contains(&[0; BYTES]));
    }
}
