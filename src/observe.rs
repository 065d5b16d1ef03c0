//! What can be seen from outside: metrics, health, logs.

pub mod admin;
pub mod health;
pub mod log;
pub mod metrics;
mod process;
