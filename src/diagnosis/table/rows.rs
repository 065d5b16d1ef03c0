//! What providers are known to say. The first row that fits wins, so the particular stands above the general.

use super::Row;
use crate::outcome::Cause;

/// All of them, by provider.
pub const ROWS: &[Row] = &[Row {
    providers: &["gmail", "google-workspace-relay"],
    words: &["application-specific password required", "invalidsecondfactor"],
    cause: Cause {
        name: "app_password_needed",
        why: "2-Step Verification is on, and this is the account's own password.",
        remedy: "Make an app password at myaccount.google.com/apppasswords and set it as SIDEPOST_PASSWORD.",
    },
}];
