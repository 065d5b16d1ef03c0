//! The words of a login as a server hears them: PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login).

use encodify::base64::STANDARD;

use crate::config::secret::Secret;
use crate::ingress::smtp::reply::Reply;
use crate::outcome::EnhancedCode;

const SYNTAX: EnhancedCode = EnhancedCode(5, 5, 2);
const NOT_BASE64: Reply = Reply::new(501, SYNTAX, "This is not base64");
const NOT_PLAIN: Reply = Reply::new(501, SYNTAX, "PLAIN is: identity, NUL, user name, NUL, password");
const NOTHING: Reply = Reply::plain(334, "");
/// `Username:`
const USER_NAME: Reply = Reply::plain(334, "VXNlcm5hbWU6");
/// `Password:`
const PASSWORD: Reply = Reply::plain(334, "UGFzc3dvcmQ6");

/// What a client says it is.
#[derive(Debug)]
pub struct Login {
    /// The user's name.
    pub user: Vec<u8>,
    /// The password.
    pub password: Secret,
}

/// A login in progress.
#[derive(Debug)]
pub enum Exchange {
    /// PLAIN: one response has everything.
    Plain,
    /// LOGIN, which asks for the name first.
    Login,
    /// LOGIN with the name, which asks for the password next.
    Password(Vec<u8>),
}

impl Exchange {
    /// A login by the mechanism of that name.
    #[must_use]
    pub fn new(mechanism: &str) -> Option<Self> {
        match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::Login),
            _ => None,
        }
    }

    /// What the client is asked for now.
    #[must_use]
    pub fn challenge(&self) -> Reply {
        match self {
            Self::Plain => NOTHING,
            Self::Login => USER_NAME,
            Self::Password(_) => PASSWORD,
        }
    }

    /// Takes a response; the login, if that was the last one.
    ///
    /// # Errors
    /// The reply to a response that makes no sense.
    pub fn take(&mut self, line: &[u8]) -> Result<Option<Login>, Reply> {
        let response = STANDARD.decode(line).map_err(|_| NOT_BASE64)?;
        match self {
            Self::Plain => plain(&response).ok_or(NOT_PLAIN).map(Some),
            Self::Login => {
                *self = Self::Password(response);
                Ok(None)
            }
            Self::Password(user) => Ok(Some(Login { user: std::mem::take(user), password: Secret::new(response) })),
        }
    }
}

/// An identity other than the user's own cannot be assumed here, and is a user who does not exist.
fn plain(response: &[u8]) -> Option<Login> {
    let mut parts = response.split(|&byte| byte == 0);
    let (identity, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let user = if identity.is_empty() || identity == user { user } else { b"" };
    Some(Login { user: user.to_vec(), password: Secret::new(password.to_vec()) })
}
