//! Where lines go: a reader of the log that stalls costs lines of the log, and never mail.
//!
//! While the reader keeps up, a line is in its hands before whoever wrote it goes on, so that a process that is killed
//! has said all it had to say. What the reader does not take waits, up to a bound, for a thread that lives as long as
//! something waits; lines beyond the bound are dropped and counted.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, ReadWriteFlags};

/// Bytes that may wait; as many again are with the thread.
const MOST_WAITING: usize = 256 * 1024;
/// A pipe that can be written to takes so much without a wait (`PIPE_BUF`, pipe(7)).
const PIECE: usize = 4096;
/// The thread only writes, and says what was dropped.
const STACK: usize = 128 * 1024;
/// How long the process' end waits for the reader.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The offset that stands for none (pwritev2(2)).
const WHERE_IT_STANDS: u64 = u64::MAX;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A file, pipe or terminal that takes lines.
#[derive(Debug)]
pub struct Output {
    file: BorrowedFd<'static>,
    state: Mutex<State>,
    caught_up: Condvar,
    dropped: AtomicU64,
    /// It is asked whether it can be written to before it is, because a write cannot be told not to wait.
    asked_first: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// The thread lives; all lines go its way, or they would come out of order.
    is_behind: bool,
    /// Lines dropped that no line has told of.
    untold: u64,
}

impl Output {
    /// Nothing waits yet.
    #[must_use]
    pub fn new(file: BorrowedFd<'static>) -> Self {
        Self {
            file,
            state: Mutex::default(),
            caught_up: Condvar::new(),
            dropped: AtomicU64::new(0),
            asked_first: AtomicBool::new(false),
        }
    }

    /// How many lines were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, or the reader has had its time.
    pub fn finish(&self) {
        let behind = |state: &mut State| state.is_behind;
        drop(self.caught_up.wait_timeout_while(self.state(), LAST_LINES, behind));
    }

    fn line(&'static self, line: &[u8]) {
        let mut state = self.state();
        let is_first = !state.is_behind && state.waiting.is_empty();
        let written = if is_first { self.write_at_once(line) } else { 0 };
        let rest = &line[written..];
        // What has begun must be ended, also where there is no room.
        if !rest.is_empty() && written == 0 && state.waiting.len() + rest.len() > MOST_WAITING {
            state.untold += 1;
            self.drop_lines(1);
            return;
        }
        state.waiting.extend_from_slice(rest);
        if !state.is_behind && !state.waiting.is_empty() {
            // Without a thread it waits for the next line to come, and for its try.
            let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(STACK);
            state.is_behind = thread.spawn(|| self.catch_up()).is_ok();
        }
    }

    /// How much of a line goes out without a wait.
    fn write_at_once(&self, line: &[u8]) -> usize {
        let mut written = 0;
        while written < line.len() {
            let end = line.len().min(written + PIECE);
            match self.try_write(&line[written..end]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.drop_lines(1);
                    return line.len();
                }
            }
        }
        written
    }

    /// Writes what can be written without a wait, or fails with `AGAIN`.
    fn try_write(&self, piece: &[u8]) -> Result<usize, Errno> {
        if !self.asked_first.load(Ordering::Relaxed) {
            let written =
                rustix::io::pwritev2(self.file, &[IoSlice::new(piece)], WHERE_IT_STANDS, ReadWriteFlags::NOWAIT);
            let is_unknown = match written {
                // Terminals, most file systems, pipes before Linux 6.4, and sandboxes do not know it.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::SPIPE) => true,
                // The other file systems would rather not, of a file that can always be written to.
                Err(Errno::AGAIN) => self.is_ready(Some(&AT_ONCE)),
                _ => false,
            };
            if !is_unknown {
                return written;
            }
            self.asked_first.store(true, Ordering::Relaxed);
        }
        if self.is_ready(Some(&AT_ONCE)) { rustix::io::write(self.file, piece) } else { Err(Errno::AGAIN) }
    }

    /// Writes what waits until nothing does.
    fn catch_up(&self) {
        loop {
            let mut state = self.state();
            let lines = std::mem::take(&mut state.waiting);
            let untold = if lines.is_empty() { std::mem::take(&mut state.untold) } else { 0 };
            if lines.is_empty() && untold == 0 {
                state.is_behind = false;
                self.caught_up.notify_all();
                return;
            }
            drop(state);
            self.write_waiting(&lines);
            if untold > 0 {
                tracing::warn!(lines = untold, "log lines were dropped: nobody read them in time");
            }
        }
    }

    fn write_waiting(&self, mut lines: &[u8]) {
        while !lines.is_empty() {
            // A file that does not wait by itself is waited for.
            self.is_ready(None);
            match rustix::io::write(self.file, lines) {
                Ok(count) => lines = &lines[count..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return self.drop_lines(memchr::memchr_iter(b'\n', lines).count() as u64),
            }
        }
    }

    /// Whether a write would not wait; one that fails does not.
    fn is_ready(&self, limit: Option<&Timespec>) -> bool {
        let mut files = [PollFd::new(&self.file, PollFlags::OUT)];
        poll(&mut files, limit).is_ok_and(|ready| ready > 0)
    }

    fn drop_lines(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line at each call, whole.
impl io::Write for &'static Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    /// A pipe that is asked first, and one that is not if the kernel can do without.
    fn pipes() -> [(io::PipeReader, &'static Output); 2] {
        [true, false].map(|asked_first| {
            let (reader, writer) = io::pipe().unwrap();
            let writer: &'static io::PipeWriter = Box::leak(Box::new(writer));
            let output = Output { asked_first: asked_first.into(), ..Output::new(writer.as_fd()) };
            (reader, &*Box::leak(Box::new(output)))
        })
    }

    fn line(number: usize) -> String {
        format!("{number:0>99}\n")
    }

    #[test]
    fn a_line_is_out_when_the_call_returns() {
        for (mut reader, mut output) in pipes() {
            output.write_all(line(7).as_bytes()).unwrap();
            assert!(!output.state().is_behind, "no thread");
            let mut read = [0; 100];
            reader.read_exact(&mut read).unwrap();
            assert_eq!(read, line(7).as_bytes());
        }
    }

    #[test]
    fn without_a_reader_writing_goes_on_and_what_was_kept_comes_in_order() {
        for (mut reader, mut output) in pipes() {
            // The pipe holds 64 kB; some more waits, and the rest has no room.
            for number in 0..20_000 {
                output.write_all(line(number).as_bytes()).unwrap();
            }
            let dropped = output.dropped();
            assert!((10_000..20_000).contains(&dropped), "{dropped}");
            let kept = 20_000 - usize::try_from(dropped).unwrap();
            let mut read = vec![0; kept * 100];
            reader.read_exact(&mut read).unwrap();
            let text = String::from_utf8(read).unwrap();
            let numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
            assert!(numbers.is_sorted(), "in order");
            output.finish();
            assert!(!output.state().is_behind && output.state().waiting.is_empty());
            output.write_all(line(1).as_bytes()).unwrap();
            let mut read = [0; 100];
            reader.read_exact(&mut read).unwrap();
            assert_eq!(read, line(1).as_bytes(), "and all is as before");
        }
    }

    #[test]
    fn a_line_larger_than_a_pipe_comes_whole() {
        for (mut reader, mut output) in pipes() {
            let long = [vec![b'x'; 200_000], b"\n".to_vec()].concat();
            output.write_all(&long).unwrap();
            output.write_all(line(2).as_bytes()).unwrap();
            let mut read = vec![0; long.len() + 100];
            reader.read_exact(&mut read).unwrap();
            assert_eq!(read, [long, line(2).into_bytes()].concat());
            output.finish();
            assert_eq!(output.dropped(), 0);
        }
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_only() {
        for (reader, mut output) in pipes() {
            drop(reader);
            output.write_all(line(1).as_bytes()).unwrap();
            assert_eq!(output.dropped(), 1);
        }
    }
}
