//! Tokens on which logins rest: that there will be none is known before somebody's mail finds it out.

use std::future::pending;
use std::time::Duration;

use tokio::time::timeout;

use super::Delivery;
use crate::diagnosis::comparison::Conclusion;
use crate::diagnosis::{Stage, State};
use crate::transport::Shortage;

/// A token that nobody replaced ends without a word, so the clock is looked at this often while there is trouble.
const LOOK: Duration = Duration::from_secs(5);
/// Sessions that are logged in already go on without a token: while mail leaves, nothing is called broken.
const LEFT: Duration = Duration::from_secs(60);

impl Delivery {
    /// Keeps the diagnosis in step with the tokens, where there are any.
    pub(super) async fn follow_tokens(&self) {
        let Some(mut changes) = self.transport.token_changes() else { return pending().await };
        let mut was_refused = false;
        loop {
            let shortage = self.transport.token_shortage();
            let is_refused = self.heed(shortage.as_ref());
            if was_refused && shortage.is_none() {
                // Whether the new one lets us in is for a login to say.
                self.diagnosis.noted(Stage::Auth, State::Unknown, "", None);
                self.prober.wake();
            }
            was_refused = is_refused;
            let wait = if shortage.is_some() { LOOK } else { Duration::MAX };
            if let Ok(Err(_)) = timeout(wait, changes.changed()).await {
                return pending().await;
            }
        }
    }

    /// Whether the login is broken for want of a token.
    fn heed(&self, shortage: Option<&Shortage>) -> bool {
        let passes = |shortage: &&Shortage| shortage.has_one_still || !shortage.is_refused || self.has_just_left();
        self.diagnosis.remarked(Stage::Auth, shortage.filter(passes).map(remark).as_ref());
        let Some(shortage) = shortage.filter(|shortage| !passes(shortage)) else { return false };
        let evidence = format!("There is no token to log in with. {}", shortage.evidence);
        self.diagnosis.noted(Stage::Auth, State::Failed, &evidence, Some(shortage.cause));
        true
    }

    fn has_just_left(&self) -> bool {
        self.diagnosis.last_taken().is_some_and(|at| at.elapsed().is_ok_and(|ago| ago < LEFT))
    }
}

fn remark(shortage: &Shortage) -> Conclusion {
    let token = if shortage.has_one_still {
        "The token in use is still good, and there is none after it"
    } else {
        "There is no token"
    };
    Conclusion { cause: shortage.cause, evidence: format!("{token}. {}", shortage.evidence), is_proof: false }
}
