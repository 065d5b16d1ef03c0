//! The talk with the sidecar: SMTP without threads or a runtime, since the process lives for one message.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::value::Value;

/// The sidecar is near; who does not answer in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the sidecar takes for its tries and for the provider's last answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest line and the most lines of a reply.
const LONGEST_LINE: u64 = 4_096;
const MOST_LINES: usize = 100;

/// Where the sidecar listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A name or address, and a port.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Value for Target {
    const EXPECTS: &'static str = "a host with its port such as `sidepost:1025`, or `unix:` and the path of a socket";

    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| Self::Tcp(text.to_owned()))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Either kind of connection.
#[derive(Debug)]
pub enum Socket {
    /// Over the network.
    Tcp(TcpStream),
    /// Through the file system.
    Unix(UnixStream),
}

impl Socket {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn connect(target: &Target) -> io::Result<Self> {
        let socket = match target {
            Target::Unix(path) => Self::Unix(UnixStream::connect(path)?),
            Target::Tcp(address) => Self::Tcp(connect_any(address)?),
        };
        match &socket {
            Self::Tcp(tcp) => tcp.set_nodelay(true).and_then(|()| tcp.set_read_timeout(Some(REPLY_TIMEOUT))),
            Self::Unix(unix) => unix.set_read_timeout(Some(REPLY_TIMEOUT)),
        }?;
        Ok(socket)
    }

    /// The same connection a second time, for reading beside writing.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(tcp) => tcp.try_clone().map(Self::Tcp),
            Self::Unix(unix) => unix.try_clone().map(Self::Unix),
        }
    }

    /// Says that nothing more will be written.
    pub fn end_writing(&self) {
        // The other side may have gone first, which is the same.
        let _ = match self {
            Self::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Self::Unix(unix) => unix.shutdown(Shutdown::Write),
        };
    }
}

fn connect_any(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(buffer),
            Self::Unix(unix) => unix.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            Self::Unix(unix) => unix.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why the sidecar did not take the message.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The same may succeed later.
    TryAgain(String),
    /// Not like this.
    Refused(String),
}

impl Trouble {
    fn lost(error: &io::Error) -> Self {
        Self::TryAgain(format!("the sidecar broke off: {error}"))
    }
}

/// A reply: its code, and its text with the codes.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

/// A session with the sidecar.
#[derive(Debug)]
pub struct Session {
    input: BufReader<Socket>,
    output: BufWriter<Socket>,
    extensions: Vec<String>,
}

impl Session {
    /// Waits for the greeting and says EHLO.
    ///
    /// # Errors
    /// Where the sidecar does not let us in.
    pub fn open(socket: Socket, name: &str) -> Result<Self, Trouble> {
        let input = BufReader::new(socket.try_clone().map_err(|error| Trouble::lost(&error))?);
        let mut session = Self { input, output: BufWriter::new(socket), extensions: Vec::new() };
        session.expect(200)?;
        let hello = session.command(&format!("EHLO {name}"), 200)?;
        session.extensions = hello.lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect();
        Ok(session)
    }

    /// Whether the sidecar offers an extension.
    #[must_use]
    pub fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|line| line.split(' ').next() == Some(extension))
    }

    /// Says who sends, to whom, and that content follows; then it is to be written to what this returns.
    ///
    /// # Errors
    /// Where a command is refused.
    pub fn envelope(&mut self, mail: &str, recipients: &[String]) -> Result<&mut BufWriter<Socket>, Trouble> {
        self.command(mail, 200)?;
        for recipient in recipients {
            self.command(recipient, 200)?;
        }
        self.command("DATA", 300)?;
        Ok(&mut self.output)
    }

    /// Waits for the answer to the content, and takes leave.
    ///
    /// # Errors
    /// What the sidecar says about why the message was not sent.
    pub fn verdict(mut self) -> Result<(), Trouble> {
        self.expect(200)?;
        // The message is taken; how the goodbye goes changes nothing.
        let _ = self.command("QUIT", 200);
        Ok(())
    }

    fn command(&mut self, line: &str, wanted: u16) -> Result<Reply, Trouble> {
        let write = write!(self.output, "{line}\r\n").and_then(|()| self.output.flush());
        // A server that refuses and closes leaves its reason to be read.
        let heard = self.expect(wanted);
        write.map_err(|error| Trouble::lost(&error)).and(heard)
    }

    /// A reply of the wanted hundred; 2yz also stands for 3yz and the reverse never happens.
    fn expect(&mut self, wanted: u16) -> Result<Reply, Trouble> {
        let reply = self.reply().map_err(|error| Trouble::lost(&error))?;
        let text = || format!("{} {}", reply.code, reply.lines.join(" "));
        match reply.code {
            code if code / 100 == wanted / 100 => Ok(reply),
            500..=599 => Err(Trouble::Refused(text())),
            _ => Err(Trouble::TryAgain(text())),
        }
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.input.by_ref().take(LONGEST_LINE).read_line(&mut line)?;
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let (Some(code), true) = (code, lines.len() < MOST_LINES) else {
                return Err(io::Error::other("what answers there does not speak SMTP"));
            };
            lines.push(line.get(4..).unwrap_or_default().trim_end().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }
}

/// `-bs`: carries SMTP between standard input and output and the sidecar.
///
/// # Errors
/// Where one of the sides fails.
pub fn pass_through(socket: &Socket) -> io::Result<()> {
    let mut from_sidecar = socket.try_clone()?;
    let mut to_sidecar = socket.try_clone()?;
    std::thread::spawn(move || {
        // What goes wrong here shows at once on the other side of the talk.
        let _ = io::copy(&mut io::stdin().lock(), &mut to_sidecar);
        to_sidecar.end_writing();
    });
    let mut output = io::stdout().lock();
    let mut buffer = [0; 4_096];
    loop {
        let count = from_sidecar.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        output.write_all(&buffer[..count])?;
        output.flush()?;
    }
}
