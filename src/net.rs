//! Where we listen, under which name, the HTTP connections that both of our HTTP listeners serve, and how we get out:
//! names, connections, TLS.

pub mod certificate;
pub mod client;
pub mod dial;
pub mod http;
pub mod listen;
pub mod name;
pub mod percent;
pub mod resolve;
pub mod stream;
pub mod tls;
mod unix;
