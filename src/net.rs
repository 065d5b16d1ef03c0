//! Where we listen, under which name, and the HTTP connections that both of our HTTP listeners serve.

pub mod http;
pub mod listen;
pub mod name;
