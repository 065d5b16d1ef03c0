//! The command line of `sendmail`, as programs have written it for forty years.
//!
//! Letters, clusters and attached values are those of Postfix's `sendmail(1)`, which has kept what is in use. What
//! only means something to a queue or to an alias file is read and passed over.

use std::ffi::OsString;

/// Letters with a value, which may be attached (`-fjoe`) or follow (`-f joe`).
const WITH_VALUE: &str = "ABCFLNORVXbefhopr";
/// Letters that stand alone, or with a value that is always attached.
const ALONE: &str = "GIUcdimnqstvx";

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Read a message and hand it over.
    #[default]
    Deliver,
    /// `-bs`: speak SMTP on standard input and output.
    Smtp,
    /// `-bp`, `mailq`: there is no queue to show.
    ShowQueue,
    /// `-bi`, `-I`, `newaliases`: there are no aliases to read.
    Aliases,
}

/// One call of `sendmail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is to be done.
    pub mode: Mode,
    /// The recipients on the command line; an argument may be a list.
    pub recipients: Vec<String>,
    /// `-t`: recipients stand in the header too.
    pub from_header: bool,
    /// A line with a dot alone ends the message, as without `-i` or `-oi`.
    pub dot_ends: bool,
    /// `-f` or `-r`: the envelope's sender.
    pub sender: Option<String>,
    /// `-F`: the sender's name, for a From field that is missing.
    pub full_name: Option<String>,
    /// `-N`: when to notify of the delivery (RFC 3461), `never` or a list of `success`, `failure`, `delay`.
    pub notify: Option<String>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            mode: Mode::Deliver,
            recipients: Vec::new(),
            from_header: false,
            dot_ends: true,
            sender: None,
            full_name: None,
            notify: None,
        }
    }
}

impl Call {
    /// Reads the arguments behind the program's name; `called_as` is that name.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn parse(called_as: &str, arguments: Vec<OsString>) -> Result<Self, String> {
        let text = |argument: OsString| argument.into_string().map_err(|_| "an argument is not UTF-8".to_owned());
        let mut arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut call = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix('-') {
                Some("-") => call.recipients.extend(arguments.by_ref()),
                Some(cluster) if !cluster.is_empty() => call.letters(cluster, &mut arguments)?,
                _ => call.recipients.push(argument),
            }
        }
        match called_as {
            "mailq" => call.mode = Mode::ShowQueue,
            "newaliases" => call.mode = Mode::Aliases,
            _ => {}
        }
        Ok(call)
    }

    /// One argument of letters: `-t`, `-ti`, `-oi`, `-fjoe@x.y`, or `-f` with the value behind it.
    fn letters(&mut self, cluster: &str, more: &mut impl Iterator<Item = String>) -> Result<(), String> {
        for (at, letter) in cluster.char_indices() {
            let rest = &cluster[at + letter.len_utf8()..];
            if WITH_VALUE.contains(letter) {
                let value = if rest.is_empty() { more.next() } else { Some(rest.to_owned()) };
                return self.set(letter, value.ok_or_else(|| format!("-{letter} wants a value"))?);
            }
            match letter {
                'i' => self.dot_ends = false,
                't' => self.from_header = true,
                'I' => self.mode = Mode::Aliases,
                // `-q30m`, `-d8.99`: the rest of it is their value.
                'q' | 'd' => return Ok(()),
                _ if ALONE.contains(letter) => {}
                _ => return Err(format!("no such option: -{letter}")),
            }
        }
        Ok(())
    }

    fn set(&mut self, letter: char, value: String) -> Result<(), String> {
        match letter {
            'f' | 'r' => self.sender = Some(value),
            'F' => self.full_name = Some(value),
            'N' => self.notify = Some(notify(&value)?),
            'o' if value == "i" => self.dot_ends = false,
            'O' if value.eq_ignore_ascii_case("ignoredots") || value.eq_ignore_ascii_case("ignoredots=true") => {
                self.dot_ends = false;
            }
            'b' => self.mode = mode(&value)?,
            _ => {}
        }
        Ok(())
    }
}

fn mode(word: &str) -> Result<Mode, String> {
    match word {
        "m" => Ok(Mode::Deliver),
        "s" => Ok(Mode::Smtp),
        "p" => Ok(Mode::ShowQueue),
        "i" => Ok(Mode::Aliases),
        other => Err(format!("-b{other} is not done here; there is -bm, -bs, -bp and -bi")),
    }
}

fn notify(words: &str) -> Result<String, String> {
    let upper = words.to_ascii_uppercase();
    let fine = upper == "NEVER" || upper.split(',').all(|word| matches!(word, "SUCCESS" | "FAILURE" | "DELAY"));
    if fine { Ok(upper) } else { Err("-N wants `never`, or a list of `success`, `failure` and `delay`".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Call, String> {
        Call::parse("sendmail", line.split_whitespace().map(OsString::from).collect())
    }

    fn call(change: impl FnOnce(&mut Call)) -> Call {
        let mut call = Call::default();
        change(&mut call);
        call
    }

    /// The command lines that PHP, cron, git, mailutils, Django and Nodemailer write.
    #[test]
    fn what_programs_write_is_understood() {
        let from_header = |call: &mut Call| (call.from_header, call.dot_ends) = (true, false);
        for line in ["-t -i", "-ti", "-it", "-t -oi", "-oi -t", "-i -oem -t", "-t -i -q", "-t -i -v -os -oem -m"] {
            assert_eq!(parsed(line), Ok(call(from_header)), "{line}");
        }
        let cron = call(|call| {
            (call.full_name, call.sender, call.dot_ends) = (Some("CronDaemon".into()), Some("root".into()), false);
            call.recipients = vec!["root".into()];
        });
        for line in ["-FCronDaemon -i -B8BITMIME -oem -froot root", "-F CronDaemon -f root -i -- root"] {
            assert_eq!(parsed(line), Ok(cron.clone()), "{line}");
        }
        let several = call(|call| call.recipients = vec!["a@b.c".into(), "-d@e.f".into(), "-".into()]);
        assert_eq!(parsed("a@b.c -- -d@e.f -"), Ok(several));
        assert_eq!(parsed("-bs").unwrap().mode, Mode::Smtp);
        assert_eq!(parsed("-b s").unwrap().mode, Mode::Smtp);
        assert_eq!(parsed("-bp").unwrap().mode, Mode::ShowQueue);
        assert_eq!(parsed("-N success,delay x@y.z").unwrap().notify.as_deref(), Some("SUCCESS,DELAY"));
        assert_eq!(Call::parse("newaliases", Vec::new()).unwrap().mode, Mode::Aliases);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for (line, said) in [
            ("-f", "-f wants a value"),
            ("-Z", "no such option: -Z"),
            ("-bd", "-bd is not done here; there is -bm, -bs, -bp and -bi"),
            ("-N sometimes", "-N wants `never`, or a list of `success`, `failure` and `delay`"),
            ("--frm x", "no such option: --"),
        ] {
            assert_eq!(parsed(line), Err(said.to_owned()), "{line}");
        }
    }
}
