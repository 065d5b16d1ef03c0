//! Whose configuration it is: by the file's name, by what is in it, or by the word for `--from`.

use std::path::{Path, PathBuf};

use super::source::{Files, Text};

/// A program that sends mail, and whose settings can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Postfix: `main.cf` and the tables that it names.
    Postfix,
    /// Sendmail: `sendmail.mc` and `authinfo`.
    Sendmail,
    /// msmtp: `msmtprc`.
    Msmtp,
    /// sSMTP: `ssmtp.conf`.
    Ssmtp,
    /// nullmailer: the folder with `remotes`.
    Nullmailer,
    /// Exim as Debian sets it up: `update-exim4.conf.conf` and `passwd.client`.
    Exim,
    /// The environment of the docker-postfix image (`boky/postfix`).
    DockerPostfix,
    /// Constants of `WordPress`' mail plugins in `wp-config.php`.
    WordPress,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Postfix,
        Self::Sendmail,
        Self::Msmtp,
        Self::Ssmtp,
        Self::Nullmailer,
        Self::Exim,
        Self::DockerPostfix,
        Self::WordPress,
    ];

    /// The word for `--from`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Sendmail => "sendmail",
            Self::Msmtp => "msmtp",
            Self::Ssmtp => "ssmtp",
            Self::Nullmailer => "nullmailer",
            Self::Exim => "exim",
            Self::DockerPostfix => "docker-postfix",
            Self::WordPress => "wordpress",
        }
    }

    /// The kind of that word.
    ///
    /// # Errors
    /// There is none; which there are.
    pub fn of_word(word: &str) -> Result<Self, String> {
        let all = Self::ALL.map(Self::word);
        let found = Self::ALL.into_iter().find(|kind| kind.word() == word);
        found.ok_or_else(|| format!("--from knows {}", all.join(", ")))
    }

    /// Its files by name, the one that decides first.
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Self::Postfix => &["main.cf", "master.cf"],
            Self::Sendmail => &["sendmail.mc", "authinfo"],
            Self::Msmtp => &["msmtprc", ".msmtprc"],
            Self::Ssmtp => &["ssmtp.conf", "revaliases"],
            Self::Nullmailer => {
                &["remotes", "me", "helohost", "adminaddr", "allmailfrom", "defaulthost", "defaultdomain"]
            }
            Self::Exim => &["update-exim4.conf.conf", "passwd.client"],
            Self::DockerPostfix => &[],
            Self::WordPress => &["wp-config.php"],
        }
    }

    /// Where they usually are.
    pub fn usual_folder(self) -> Option<&'static str> {
        match self {
            Self::Postfix => Some("/etc/postfix"),
            Self::Sendmail => Some("/etc/mail"),
            Self::Msmtp => Some("/etc"),
            Self::Ssmtp => Some("/etc/ssmtp"),
            Self::Nullmailer => Some("/etc/nullmailer"),
            Self::Exim => Some("/etc/exim4"),
            Self::DockerPostfix => None,
            Self::WordPress => Some("/var/www/html"),
        }
    }

    /// The files of this kind in a folder.
    pub fn in_folder(self, files: &Files, folder: &Path) -> Vec<PathBuf> {
        self.files().iter().map(|name| folder.join(name)).filter(|path| files.is_file(path)).collect()
    }

    /// Whether a folder holds such a configuration: the secondary files alone do not make one, but those with a login.
    pub fn is_in(self, files: &Files, folder: &Path) -> bool {
        self.in_folder(files, folder).iter().any(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            self.files().first() == Some(&name) || matches!(name, "authinfo" | "passwd.client" | ".msmtprc")
        })
    }

    /// What a file is, by its name, else by its first telling line.
    pub fn of(text: &Text) -> Option<Self> {
        let by_name = Self::ALL.into_iter().find(|kind| {
            // nullmailer's `me` and the like are too common as names.
            kind.files().contains(&text.name()) && (*kind != Self::Nullmailer || text.name() == "remotes")
        });
        let by_ending = match text.name() {
            name if name.ends_with(".mc") => Some(Self::Sendmail),
            name if name.starts_with("sasl_passwd") => Some(Self::Postfix),
            name if name.contains("msmtprc") => Some(Self::Msmtp),
            _ => None,
        };
        by_name.or(by_ending).or_else(|| text.content().lines().find_map(of_line))
    }
}

/// What a line gives away. Comments may talk of anything.
fn of_line(line: &str) -> Option<Kind> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let lower = line.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    let bare = line.trim_start_matches("- ").trim_start_matches(['"', '\'']);
    if begins(&["<?php"]) || ["WPMS_", "POST_SMTP_", "FLUENTMAIL_"].iter().any(|word| line.contains(word)) {
        Some(Kind::WordPress)
    } else if begins(&["divert(", "define(`", "feature(`", "ostype(`", "authinfo:"]) {
        Some(Kind::Sendmail)
    } else if begins(&["mailhub=", "mailhub =", "fromlineoverride", "authuser=", "usestarttls"]) {
        Some(Kind::Ssmtp)
    } else if begins(&["dc_smarthost", "dc_eximconfig"]) {
        Some(Kind::Exim)
    } else if ["RELAYHOST", "POSTFIX_", "ALLOWED_SENDER_DOMAINS"].iter().any(|word| bare.starts_with(word)) {
        Some(Kind::DockerPostfix)
    } else if begins(&["relayhost", "smtp_sasl_", "smtp_tls_", "smtpd_", "myhostname", "compatibility_level"]) {
        Some(Kind::Postfix)
    } else if matches!(lower.split_whitespace().next(), Some("account" | "defaults" | "tls_starttls" | "passwordeval"))
    {
        Some(Kind::Msmtp)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_name_or_content() {
        let of = |name: &str, content: &str| Kind::of(&Text::new(Path::new(name), content));
        for kind in Kind::ALL {
            assert_eq!(Kind::of_word(kind.word()), Ok(kind));
            if let Some(name) = kind.files().first() {
                assert_eq!(of(&format!("/somewhere/{name}"), ""), Some(kind));
            }
        }
        for (content, kind) in [
            ("# relayhost = x\nrelayhost = [a.test]:587\n", Kind::Postfix),
            ("root=postmaster\nmailhub=a.test:587\n", Kind::Ssmtp),
            ("# x\ndefaults\nport 587\n", Kind::Msmtp),
            ("dnl x\ndefine(`SMART_HOST', `a.test')dnl\n", Kind::Sendmail),
            ("AuthInfo:a.test \"I:x\"\n", Kind::Sendmail),
            ("RELAYHOST=[a.test]:587\n", Kind::DockerPostfix),
            ("services:\n  mail:\n    environment:\n      - RELAYHOST=a.test\n", Kind::DockerPostfix),
            ("dc_smarthost='a.test::587'\n", Kind::Exim),
            ("<?php\n", Kind::WordPress),
        ] {
            assert_eq!(of("x", content), Some(kind), "{content}");
        }
        assert_eq!(of("x", "hello\n"), None);
        assert_eq!(of("me", "hello\n"), None);
        assert!(Kind::of_word("qmail").unwrap_err().contains("postfix, sendmail"));
    }
}
