//! A long line: a TCP proxy that hands on each piece of bytes so many milliseconds after it came.
//!
//!     delay LISTEN_PORT TO_PORT MILLISECONDS
//!
//! What it must not do is change the number of round trips. Pieces are handed on as they were read, in their order, each
//! at its own time, with TCP_NODELAY; nothing waits for anything else. The handshake with the far side is counted too:
//! the client's own takes no time here, so the connection onwards is opened three times the delay later, which is when
//! a server at the far end of such a line would get the last packet of the handshake and could speak first.
//! It ends with its standard input.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

type Piece = (Instant, Vec<u8>);

fn main() -> io::Result<()> {
    let numbers: Vec<u16> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let &[listen, to, delay] = &numbers[..] else { panic!("delay LISTEN_PORT TO_PORT MILLISECONDS") };
    let delay = Duration::from_millis(delay.into());
    let listener = TcpListener::bind(("127.0.0.1", listen))?;
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            thread::spawn(move || drop(connect(near, to, delay)));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn connect(near: TcpStream, to: u16, delay: Duration) -> io::Result<()> {
    thread::sleep(3 * delay);
    let far = TcpStream::connect(("127.0.0.1", to))?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    hand_on(near.try_clone()?, far.try_clone()?, delay);
    hand_on(far, near, delay);
    Ok(())
}

fn hand_on(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || drop(read(from, &sender)));
    thread::spawn(move || drop(write(to, &receiver, delay)));
}

fn read(mut from: TcpStream, sender: &Sender<Piece>) -> io::Result<()> {
    loop {
        let mut bytes = vec![0; 64 * 1024];
        let count = from.read(&mut bytes)?;
        bytes.truncate(count);
        // An empty piece is the end.
        if sender.send((Instant::now(), bytes)).is_err() || count == 0 {
            return Ok(());
        }
    }
}

fn write(mut to: TcpStream, receiver: &Receiver<Piece>, delay: Duration) -> io::Result<()> {
    for (came, bytes) in receiver {
        thread::sleep((came + delay).saturating_duration_since(Instant::now()));
        if bytes.is_empty() {
            break;
        }
        to.write_all(&bytes)?;
    }
    to.shutdown(Shutdown::Write)
}
