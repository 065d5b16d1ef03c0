//! Who may log in.

use subtle::Choice;

use crate::config::secret::Secret;
use crate::config::value::Value;

/// Users and their passwords; a name may be there twice, so that a password can be changed.
#[derive(Clone, Debug)]
pub struct Users(Vec<User>);

#[derive(Clone, Debug)]
struct User {
    name: Secret,
    password: Secret,
}

impl Value for Users {
    const EXPECTS: &'static str = "`user:password` pairs, separated by commas or line ends; no name and no password empty (that would be a way in)";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let bytes = Secret::parse(text)?;
        let pairs = bytes.expose().split(|byte| matches!(byte, b',' | b'\n')).map(<[u8]>::trim_ascii);
        let users: Vec<_> = pairs.filter(|pair| !pair.is_empty()).map(user).collect::<Option<_>>()?;
        (!users.is_empty()).then_some(Self(users))
    }
}

/// NUL can be part of neither, since PLAIN could not carry it.
fn user(pair: &[u8]) -> Option<User> {
    let colon = pair.iter().position(|&byte| byte == b':')?;
    let (name, password) = (&pair[..colon], &pair[colon + 1..]);
    let fits = !name.is_empty() && !password.is_empty() && !pair.contains(&0);
    fits.then(|| User { name: Secret::new(name.to_vec()), password: Secret::new(password.to_vec()) })
}

impl Users {
    /// Whether this is one of them, in a time that depends neither on which one nor on how much of it is right.
    #[must_use]
    pub fn contain(&self, name: &[u8], password: &Secret) -> bool {
        let same = |user: &User| user.name.equals(name) & user.password.equals(password.expose());
        self.0.iter().fold(Choice::from(0), |found, user| found | same(user)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(users: &str, name: &str, password: &str) -> bool {
        Users::parse(users).unwrap().contain(name.as_bytes(), &Secret::new(password.into()))
    }

    #[test]
    fn pairs_by_comma_or_line() {
        let users = "shop:a:b:c, cron:x y\r\nops:p=#$\n\nshop:second";
        for (name, password) in [("shop", "a:b:c"), ("shop", "second"), ("cron", "x y"), ("ops", "p=#$")] {
            assert!(contain(users, name, password), "{name}");
        }
        for (name, password) in [
            ("shop", "a"),
            ("shop", "a:b:c "),
            ("shop", "x y"),
            ("", ""),
            ("cron", ""),
            ("sho", "p:a:b:c"),
            ("ops", "p=#$\0"),
        ] {
            assert!(!contain(users, name, password), "{name} {password}");
        }
    }

    #[test]
    fn what_would_be_a_way_in_is_refused() {
        for bad in ["", ",", "\n", "shop", "shop:", ":secret", ":", "a:b,shop:", "a:b,c", "a:b\0"] {
            assert!(Users::parse(bad).is_none(), "{bad:?}");
        }
        assert!(!format!("{:?}", Users::parse("joe:hunter2")).contains("hunter2"));
    }
}
