//! A provider that takes everything and keeps nothing, faster than `smtp-sink`, and with CHUNKING.
//!
//!     sink PORT [chunking|pipelining|plain] [stall]
//!
//! `stall`: the answer to the content never comes. A line with the count of messages and connections is printed for
//! each line that comes in on standard input; the end of standard input ends it.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

static MESSAGES: AtomicU64 = AtomicU64::new(0);
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
static STALLED: AtomicU64 = AtomicU64::new(0);

/// Small, since 1,000 connections are a thread each.
const STACK: usize = 64 * 1024;
const READ: usize = 64 * 1024;

#[derive(Clone, Copy)]
struct Manner {
    extensions: &'static [&'static str],
    stall: bool,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let port: u16 =
        arguments.first().and_then(|port| port.parse().ok()).expect("sink PORT [chunking|pipelining|plain]");
    let extensions: &[&str] = if has("plain") {
        &["8BITMIME"]
    } else if has("pipelining") {
        &["PIPELINING", "8BITMIME"]
    } else {
        &["PIPELINING", "8BITMIME", "CHUNKING"]
    };
    let manner = Manner { extensions, stall: has("stall") };
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            CONNECTIONS.fetch_add(1, Ordering::Relaxed);
            let serve = move || drop(Session::new(stream, manner).run());
            std::thread::Builder::new().stack_size(STACK).spawn(serve).expect("a thread");
        }
    });
    for _ in io::stdin().lock().lines() {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!("{} {} {}", count(&MESSAGES), count(&CONNECTIONS), count(&STALLED));
    }
    Ok(())
}

struct Session {
    stream: TcpStream,
    manner: Manner,
    input: Vec<u8>,
    /// What of `input` was used.
    at: usize,
    output: Vec<u8>,
}

impl Session {
    fn new(stream: TcpStream, manner: Manner) -> Self {
        Self { stream, manner, input: Vec::new(), at: 0, output: Vec::new() }
    }

    fn run(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.say("220 sink ESMTP");
        loop {
            let line = self.line()?;
            let verb: String = line.iter().take(4).map(|&byte| byte.to_ascii_uppercase() as char).collect();
            match verb.as_str() {
                "EHLO" => self.hello(),
                "DATA" => {
                    self.say("354 go");
                    self.content()?;
                    self.answer()?;
                }
                "BDAT" => {
                    let text = String::from_utf8_lossy(&line).to_ascii_uppercase();
                    let mut words = text.split_ascii_whitespace().skip(1);
                    let length = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                    self.pass(length)?;
                    if words.next() == Some("LAST") { self.answer()? } else { self.say("250 2.0.0 chunk") }
                }
                "QUIT" => {
                    self.say("221 2.0.0 bye");
                    return self.flush();
                }
                _ => self.say("250 2.1.0 ok"),
            }
        }
    }

    fn hello(&mut self) {
        let mut words = self.manner.extensions.iter().peekable();
        self.output.extend_from_slice(b"250-sink\r\n");
        while let Some(word) = words.next() {
            let mark = if words.peek().is_some() { '-' } else { ' ' };
            let _ = write!(self.output, "250{mark}{word}\r\n");
        }
    }

    /// The answer to content.
    fn answer(&mut self) -> io::Result<()> {
        if self.manner.stall {
            STALLED.fetch_add(1, Ordering::Relaxed);
            self.flush()?;
            self.input = Vec::new();
            // Until the other side gives up.
            io::copy(&mut self.stream, &mut io::sink())?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        MESSAGES.fetch_add(1, Ordering::Relaxed);
        self.say("250 2.0.0 taken");
        Ok(())
    }

    /// Takes content up to CRLF.CRLF.
    fn content(&mut self) -> io::Result<()> {
        const END: &[u8] = b"\r\n.\r\n";
        // The CRLF of the DATA line counts: content may be nothing but the dot.
        let mut last = *b"\0\0\0\r\n";
        loop {
            let fresh = &self.input[self.at..];
            if let Some(place) = find(&last, fresh, END) {
                self.at += place;
                return Ok(());
            }
            for &byte in &fresh[fresh.len().saturating_sub(5)..] {
                last.rotate_left(1);
                last[4] = byte;
            }
            self.at = self.input.len();
            self.fill()?;
        }
    }

    /// Takes so many bytes.
    fn pass(&mut self, mut length: usize) -> io::Result<()> {
        loop {
            let taken = length.min(self.input.len() - self.at);
            self.at += taken;
            length -= taken;
            if length == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let unread = &self.input[self.at..];
            if let Some(length) = unread.iter().position(|&byte| byte == b'\n') {
                let line = unread[..length].to_vec();
                self.at += length + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// Says what waits to be said, in one write, and reads what is there.
    fn fill(&mut self) -> io::Result<()> {
        self.flush()?;
        self.input.drain(..self.at);
        self.at = 0;
        let length = self.input.len();
        self.input.resize(length + READ, 0);
        let count = self.stream.read(&mut self.input[length..])?;
        self.input.truncate(length + count);
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Where the content ends in `fresh`, which follows on the five bytes of `last`.
fn find(last: &[u8; 5], fresh: &[u8], end: &[u8]) -> Option<usize> {
    let seam: Vec<u8> = last[1..].iter().chain(fresh.iter().take(4)).copied().collect();
    if let Some(place) = seam.windows(end.len()).position(|window| window == end) {
        return Some(place + end.len() - 4);
    }
    // A lone CR is rare, so this runs at the speed of a search for one byte.
    let mut from = 0;
    while let Some(place) = fresh[from..].iter().position(|&byte| byte == b'.') {
        let dot = from + place;
        if dot >= 2 && fresh[dot - 2..].starts_with(end) {
            return Some(dot + 3);
        }
        from = dot + 1;
    }
    None
}
