//! What facts add up to: per stage and per path, without a clock or a lock of its own.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::comparison::Conclusion;
use super::{Source, Stage, Standing, State, Way};
use crate::outcome::{Cause, Class, Failure, Reason, Step};

/// A link that worked is not called broken before it has failed twice, so far apart: providers restart.
const RESTART: Duration = Duration::from_secs(4);
/// What providers put off, or one sender is refused, is not called broken before it has lasted so long ...
const LASTING: Duration = Duration::from_secs(120);
/// ... and was seen so many times.
const OFTEN: u32 = 3;

/// A moment, for people and for measuring.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For people.
    pub wall: SystemTime,
    /// For measuring.
    pub instant: Instant,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        Self { wall: SystemTime::now(), instant: Instant::now() }
    }
}

/// What is known of a stage or a path.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whether it works.
    pub state: State,
    /// What was seen; empty where all is well or nothing is known.
    pub evidence: String,
    /// Why.
    pub cause: Option<&'static Cause>,
    /// Whether it may pass by itself.
    pub retryable: bool,
    /// Since when it is so.
    pub since: SystemTime,
    /// When it was last looked at.
    pub checked: Option<SystemTime>,
    /// When it last worked.
    pub last_success: Option<SystemTime>,
    /// What is not as good as it should be, although it works.
    pub remark: Option<Remark>,
    /// When the trouble began, and how many times it was seen.
    trouble: Option<(Instant, u32)>,
}

/// Something that costs time and loses nothing: it lasts until it is taken back, whatever passes meanwhile.
#[derive(Clone, Debug)]
pub struct Remark {
    /// Why, and what was seen.
    pub conclusion: Conclusion,
    /// Since when it is so.
    pub since: SystemTime,
}

/// One path with its last failure.
#[derive(Debug)]
pub struct Path {
    /// Its name and kind.
    pub way: Way,
    /// What is known of it.
    pub entry: Entry,
    failure: Option<Failure>,
    /// What comparisons have shown of failures of this kind.
    concluded: Option<((Step, Reason), Conclusion)>,
}

impl Path {
    /// Whether a comparison has shown why it fails.
    pub fn is_explained(&self) -> bool {
        self.concluded.is_some()
    }
}

/// The trouble that is worth a line in the log.
#[derive(Debug)]
pub struct Trouble<'a> {
    /// The stage.
    pub stage: Stage,
    /// What is known of it, or of the path that has the trouble.
    pub entry: &'a Entry,
}

/// What is known of the whole chain.
#[derive(Debug)]
pub struct Record {
    stages: [Entry; Stage::ALL.len()],
    paths: Vec<Path>,
    /// The path that was last found to work, or else the first.
    current: usize,
}

/// What a change is judged by: only a change of this is worth a line in the log.
pub type Headline = (Standing, Option<(&'static str, &'static str)>, usize);

impl Entry {
    fn new(state: State, now: Now) -> Self {
        Self {
            state,
            evidence: String::new(),
            cause: None,
            retryable: false,
            since: now.wall,
            checked: None,
            last_success: None,
            remark: None,
            trouble: None,
        }
    }

    /// What was seen, where there is a cause for it.
    pub fn evidence(&self) -> &str {
        match (&self.remark, self.cause) {
            (Some(remark), None) => &remark.conclusion.evidence,
            _ => &self.evidence,
        }
    }

    /// Why it does not work, or not well.
    pub fn cause(&self) -> Option<&'static Cause> {
        self.cause.or_else(|| self.remark.as_ref().map(|remark| remark.conclusion.cause))
    }

    /// Since when it is so.
    pub fn since(&self) -> SystemTime {
        self.remark.as_ref().filter(|_| self.cause.is_none()).map_or(self.since, |remark| remark.since)
    }

    fn passed(&mut self, now: Now) {
        if self.state == State::Skipped {
            return;
        }
        self.turn(State::Ok, None, now);
        (self.retryable, self.trouble, self.last_success) = (false, None, Some(now.wall));
        self.evidence.clear();
    }

    /// Something before it failed, so nothing is known of it now.
    fn out_of_reach(&mut self, now: Now) {
        if self.state == State::Skipped || self.state == State::Unknown && self.cause.is_none() {
            return;
        }
        self.turn(State::Unknown, None, now);
        (self.retryable, self.trouble) = (false, None);
        self.evidence.clear();
    }

    fn failed(&mut self, failure: &Failure, proof: Proof, now: Now) {
        let (first, times) = self.trouble.unwrap_or((now.instant, 0));
        let lasted = now.instant.duration_since(first);
        self.trouble = Some((first, times + 1));
        let is_proved = match proof {
            Proof::AtOnce => true,
            Proof::Doubt => false,
            Proof::After(least, often) => self.state == State::Failed || (lasted >= least && times + 1 >= often),
        };
        self.turn(if is_proved { State::Failed } else { State::Unknown }, Some(failure.cause), now);
        self.evidence = failure.evidence().to_owned();
        self.retryable = matches!(failure.class, Class::Unreachable | Class::Transient | Class::Throttled);
    }

    /// The same trouble, better understood.
    fn told(&mut self, failure: &Failure, now: Now) {
        let since = self.since;
        self.turn(self.state, Some(failure.cause), now);
        self.since = since;
        self.evidence = failure.evidence().to_owned();
    }

    fn turn(&mut self, state: State, cause: Option<&'static Cause>, now: Now) {
        if (self.state, self.cause) != (state, cause) {
            self.since = now.wall;
        }
        (self.state, self.cause, self.checked) = (state, cause, Some(now.wall));
    }

    fn is_in_doubt(&self) -> bool {
        self.state == State::Unknown && self.cause.is_some()
    }
}

/// How much it takes until a link is called broken.
#[derive(Clone, Copy, Debug)]
enum Proof {
    AtOnce,
    After(Duration, u32),
    Doubt,
}

impl Record {
    /// Nothing is known.
    pub fn new(ways: Vec<Way>, logs_in: bool, now: Now) -> Self {
        let plain = ways.iter().all(|way| way.tls_first.is_none());
        let state = |stage| {
            if stage == Stage::Config {
                // Settings that cannot work end the process before there is a record.
                State::Ok
            } else if (stage == Stage::Auth && !logs_in) || (stage == Stage::Tls && plain) {
                State::Skipped
            } else {
                State::Unknown
            }
        };
        let entry = |stage| Entry::new(state(stage), now);
        let path = |way| Path { way, entry: Entry::new(State::Unknown, now), failure: None, concluded: None };
        Self { stages: Stage::ALL.map(entry), paths: ways.into_iter().map(path).collect(), current: 0 }
    }

    /// The provider took a message.
    pub fn taken(&mut self, place: usize, now: Now) {
        self.uses(place);
        self.reached(place, Stage::Accepted, now);
    }

    /// An attempt came through a stage.
    pub fn reached(&mut self, place: usize, stage: Stage, now: Now) {
        self.works(place, now);
        self.pass_up_to(stage, now);
    }

    /// Mail goes along that path.
    pub fn uses(&mut self, place: usize) {
        self.current = place;
    }

    /// A comparison has shown why a path fails so. What is known already is told anew, without a further failure.
    pub fn concluded(&mut self, place: usize, failed: (Step, Reason), conclusion: &Conclusion, now: Now) {
        let Some(path) = self.paths.get_mut(place) else { return };
        path.concluded = Some((failed, conclusion.clone()));
        let Some(failure) = path.failure.take().filter(|failure| (failure.step, failure.reason) == failed) else {
            return;
        };
        let failure = self.explained(place, failure);
        if let Some(path) = self.paths.get_mut(place) {
            path.entry.told(&failure, now);
            path.failure = Some(failure.clone());
        }
        let in_trouble = |entry: &Entry| entry.cause.is_some();
        if let Some(stage) = Stage::of(&failure).filter(|stage| in_trouble(self.entry(*stage))) {
            self.entry_mut(stage).told(&failure, now);
        }
        if conclusion.is_proof {
            self.proved(place, &failure, now);
        }
    }

    /// What was a doubt is none any more.
    fn proved(&mut self, place: usize, failure: &Failure, now: Now) {
        if let Some(path) = self.paths.get_mut(place) {
            path.entry.turn(State::Failed, Some(failure.cause), now);
        }
        if let Some(stage) = Stage::of(failure).filter(|_| self.paths.iter().all(|path| path.failure.is_some())) {
            self.break_at(stage, place, failure, Proof::AtOnce, now);
        }
    }

    /// A failure with what comparisons have shown.
    pub fn explained(&self, place: usize, failure: Failure) -> Failure {
        let concluded = self.paths.get(place).and_then(|path| path.concluded.as_ref());
        match concluded.filter(|(failed, _)| *failed == (failure.step, failure.reason)) {
            Some((_, conclusion)) if failure.cause != conclusion.cause => {
                failure.because(&conclusion.evidence, conclusion.cause)
            }
            _ => failure,
        }
    }

    /// A stage works, and not as well as it should; or it does again.
    pub fn remarked(&mut self, stage: Stage, conclusion: Option<&Conclusion>, now: Now) {
        let remark = &mut self.entry_mut(stage).remark;
        let since = remark.as_ref().map_or(now.wall, |remark| remark.since);
        *remark = conclusion.map(|conclusion| Remark { conclusion: conclusion.clone(), since });
    }

    /// What is not as good as it should be at a stage.
    pub fn remark(&self, stage: Stage) -> Option<&Remark> {
        self.entry(stage).remark.as_ref()
    }

    /// What no attempt tells.
    pub fn noted(&mut self, stage: Stage, state: State, evidence: &str, cause: Option<&'static Cause>, now: Now) {
        let entry = self.entry_mut(stage);
        entry.turn(state, cause, now);
        entry.retryable = state == State::Unknown;
        evidence.clone_into(&mut entry.evidence);
        if state == State::Ok {
            entry.last_success = Some(now.wall);
        }
    }

    /// An attempt failed.
    pub fn failed(&mut self, place: usize, failure: &Failure, source: Source, now: Now) {
        let Some(stage) = Stage::of(failure) else { return };
        if is_of_the_path(failure) {
            return self.path_failed(place, failure, source, now);
        }
        self.works(place, now);
        if is_of_the_message(failure) {
            return self.pass_before(stage, place, now);
        }
        let proof = self.proof(stage, failure, source);
        self.break_at(stage, place, failure, proof, now);
    }

    fn path_failed(&mut self, place: usize, failure: &Failure, source: Source, now: Now) {
        let Some(path) = self.paths.get_mut(place) else { return };
        let was_ok = path.entry.last_success.is_some();
        let proof = if is_slow(failure, source) { Proof::Doubt } else { unreachable_proof(failure, was_ok) };
        path.entry.failed(failure, proof, now);
        path.failure = Some(failure.clone());
        if self.paths.iter().any(|path| path.entry.state == State::Ok) {
            return;
        }
        let untried = self.paths.iter().any(|path| path.failure.is_none());
        let Some((place, failure)) = self.most_telling() else { return };
        let Some(stage) = Stage::of(&failure) else { return };
        let proof = if untried { Proof::Doubt } else { self.proof(stage, &failure, source) };
        self.break_at(stage, place, &failure, proof, now);
    }

    /// Of paths that all fail, the one that came furthest says most; among equals the best one does.
    fn most_telling(&self) -> Option<(usize, Failure)> {
        let failed = self.paths.iter().enumerate().filter_map(|(place, path)| Some((place, path.failure.clone()?)));
        failed.min_by_key(|(place, failure)| (failure.class != Class::Misconfigured, *place))
    }

    fn proof(&self, stage: Stage, failure: &Failure, source: Source) -> Proof {
        let was_ok = self.entry(stage).last_success.is_some();
        match failure.class {
            _ if is_slow(failure, source) => Proof::Doubt,
            Class::Unreachable => unreachable_proof(failure, was_ok),
            // One sender of many may be refused; a login is the same for all.
            Class::Misconfigured if stage >= Stage::Sender && was_ok => Proof::After(LASTING, OFTEN),
            Class::Misconfigured => Proof::AtOnce,
            Class::Transient | Class::Throttled | Class::Permanent | Class::Unconfirmed => Proof::After(LASTING, OFTEN),
        }
    }

    fn works(&mut self, place: usize, now: Now) {
        if let Some(path) = self.paths.get_mut(place) {
            path.entry.passed(now);
            (path.failure, path.concluded) = (None, None);
        }
    }

    fn pass_up_to(&mut self, last: Stage, now: Now) {
        for stage in Stage::ALL.into_iter().filter(|stage| (Stage::Dns..=last).contains(stage)) {
            self.entry_mut(stage).passed(now);
        }
    }

    fn pass_before(&mut self, end: Stage, place: usize, now: Now) {
        let tls_is_open = end == Stage::Greeting && !self.tls_comes_first(place);
        let holds = |stage: &Stage| (Stage::Dns..end).contains(stage) && !(*stage == Stage::Tls && tls_is_open);
        for stage in Stage::ALL.into_iter().filter(holds) {
            self.entry_mut(stage).passed(now);
        }
    }

    fn break_at(&mut self, stage: Stage, place: usize, failure: &Failure, proof: Proof, now: Now) {
        self.pass_before(stage, place, now);
        self.entry_mut(stage).failed(failure, proof, now);
        if self.entry(stage).state == State::Failed {
            for later in Stage::ALL.into_iter().filter(|later| *later > stage) {
                self.entry_mut(later).out_of_reach(now);
            }
        }
    }

    fn tls_comes_first(&self, place: usize) -> bool {
        self.paths.get(place).is_some_and(|path| path.way.tls_first == Some(true))
    }

    /// The chain in one word.
    pub fn standing(&self) -> Standing {
        if self.stages.iter().any(|entry| entry.state == State::Failed) {
            return Standing::Failed;
        }
        if !self.is_well() || self.stages.iter().any(|entry| entry.remark.is_some()) {
            return Standing::Degraded;
        }
        let is_known = self.chain().any(|(_, entry)| entry.state == State::Ok);
        if is_known { Standing::Ok } else { Standing::Unknown }
    }

    /// Whether nothing is broken or in doubt, whatever could be better.
    pub fn is_well(&self) -> bool {
        let best_is_down = self.paths.first().is_some_and(|path| path.entry.state == State::Failed);
        !best_is_down && !self.stages.iter().any(|entry| entry.state == State::Failed || entry.is_in_doubt())
    }

    /// Since when a link is broken.
    pub fn failing_since(&self) -> Option<SystemTime> {
        self.stages.iter().filter(|entry| entry.state == State::Failed).map(|entry| entry.since).min()
    }

    /// What is worst.
    pub fn trouble(&self) -> Option<Trouble<'_>> {
        let is_trouble = |entry: &Entry| entry.state == State::Failed || entry.is_in_doubt();
        let stages = self.all().filter(|(_, entry)| is_trouble(entry));
        let worst = stages.min_by_key(|(stage, entry)| (entry.state != State::Failed, *stage));
        let best_path = self.paths.first().map(|path| (Stage::Connect, &path.entry));
        let best_path = best_path.filter(|(_, entry)| is_trouble(entry));
        let remarked = || self.all().find(|(_, entry)| entry.remark.is_some());
        let (stage, entry) = worst.or(best_path).or_else(remarked)?;
        entry.cause().map(|_| Trouble { stage, entry })
    }

    /// What a change is judged by.
    pub fn headline(&self) -> Headline {
        let trouble = self.trouble().and_then(|trouble| Some((trouble.stage.label(), trouble.entry.cause()?.name)));
        (self.standing(), trouble, self.current)
    }

    /// The path on which all is well.
    pub fn clean(&self) -> Option<usize> {
        let well = |entry: &Entry| matches!(entry.state, State::Ok | State::Skipped);
        let all = self.chain().all(|(_, entry)| well(entry));
        (all && self.paths.get(self.current)?.entry.state == State::Ok).then_some(self.current)
    }

    /// The label of the path in use.
    pub fn path(&self) -> Option<&str> {
        self.paths.get(self.current).map(|path| path.way.label.as_str())
    }

    /// Every path.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Every stage.
    pub fn all(&self) -> impl Iterator<Item = (Stage, &Entry)> {
        Stage::ALL.into_iter().zip(&self.stages)
    }

    /// The stages that attempts tell about.
    fn chain(&self) -> impl Iterator<Item = (Stage, &Entry)> {
        self.all().filter(|(stage, _)| *stage >= Stage::Dns)
    }

    fn entry(&self, stage: Stage) -> &Entry {
        &self.stages[stage as usize]
    }

    fn entry_mut(&mut self, stage: Stage) -> &mut Entry {
        &mut self.stages[stage as usize]
    }
}

/// Whether another path to the same provider may do better: nothing was said yet that is about us.
#[must_use]
pub fn is_of_the_path(failure: &Failure) -> bool {
    match failure.class {
        Class::Unreachable => true,
        Class::Misconfigured => {
            failure.reason != Reason::GreetingRefused && (Step::Dns..Step::Auth).contains(&failure.step)
                || failure.reason == Reason::AuthUnavailable
        }
        Class::Transient | Class::Throttled | Class::Permanent | Class::Unconfirmed => false,
    }
}

fn unreachable_proof(failure: &Failure, was_ok: bool) -> Proof {
    if was_ok && failure.class == Class::Unreachable { Proof::After(RESTART, 2) } else { Proof::AtOnce }
}

/// Whether it is about one message or one recipient (greylisting among it): then the chain holds as far as it was
/// needed.
fn is_of_the_message(failure: &Failure) -> bool {
    failure.class == Class::Permanent || (failure.class == Class::Transient && failure.step == Step::Recipient)
}

/// Whether it may only be slow: somebody in a hurry did not wait for the end of it.
fn is_slow(failure: &Failure, source: Source) -> bool {
    source == Source::HastyProbe && matches!(failure.reason, Reason::Timeout | Reason::NameUnavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSE: Cause = Cause { name: "general", why: "Why.", remedy: "Mend it." };
    const BETTER: Cause = Cause { name: "better", why: "Because of the network.", remedy: "Ask it." };

    /// A record with a clock of its own.
    struct Story {
        record: Record,
        now: Now,
    }

    impl Story {
        fn new(paths: usize) -> Self {
            let way = |place| Way { label: format!("path {place}"), tls_first: Some(false) };
            let now = Now::read();
            Self { record: Record::new((0..paths).map(way).collect(), true, now), now }
        }

        fn after(&mut self, seconds: u64) -> &mut Self {
            let more = Duration::from_secs(seconds);
            self.now = Now { wall: self.now.wall + more, instant: self.now.instant + more };
            self
        }

        fn taken(&mut self, place: usize) -> &mut Self {
            self.record.taken(place, self.now);
            self
        }

        fn fails(&mut self, place: usize, (class, step, reason): Kind) -> &mut Self {
            self.fails_for(Source::Message, place, (class, step, reason))
        }

        fn fails_for(&mut self, source: Source, place: usize, (class, step, reason): Kind) -> &mut Self {
            let failure = Failure {
                class,
                step,
                reason,
                cause: &CAUSE,
                sentence: CAUSE.explain("It was seen."),
                reply: None,
                retry_after: None,
                recipients: Vec::new(),
            };
            let failure = self.record.explained(place, failure);
            self.record.failed(place, &failure, source, self.now);
            self
        }

        fn state(&self, stage: Stage) -> State {
            self.record.entry(stage).state
        }

        fn is(&mut self, standing: Standing) -> &mut Self {
            assert_eq!(self.record.standing(), standing, "{:#?}", self.record);
            self
        }
    }

    type Kind = (Class, Step, Reason);

    const REFUSED: Kind = (Class::Unreachable, Step::Connect, Reason::ConnectionRefused);
    const SILENT: Kind = (Class::Unreachable, Step::Greeting, Reason::Timeout);
    const LOGIN: Kind = (Class::Misconfigured, Step::Auth, Reason::AuthRejected);
    const CERTIFICATE: Kind = (Class::Misconfigured, Step::Tls, Reason::TlsCertificate);
    const SENDER: Kind = (Class::Misconfigured, Step::Sender, Reason::SenderRefused);
    const BUSY: Kind = (Class::Transient, Step::Greeting, Reason::ProviderBusy);
    const UNNAMED: Kind = (Class::Unreachable, Step::Dns, Reason::NameUnavailable);
    const GREYLISTED: Kind = (Class::Transient, Step::Recipient, Reason::RecipientRefused);

    #[test]
    fn a_link_that_never_worked_is_broken_at_once_and_one_that_did_only_when_it_lasts() {
        Story::new(1).is(Standing::Unknown).fails(0, REFUSED).is(Standing::Failed);
        let mut story = Story::new(1);
        story.taken(0).is(Standing::Ok).fails(0, REFUSED).is(Standing::Degraded);
        story.after(1).fails(0, REFUSED).is(Standing::Degraded);
        story.after(3).fails(0, REFUSED).is(Standing::Failed);
        assert_eq!(story.state(Stage::Dns), State::Ok);
        assert_eq!((story.state(Stage::Auth), story.state(Stage::Accepted)), (State::Unknown, State::Unknown));
        story.taken(0).is(Standing::Ok);
        assert!(story.record.trouble().is_none() && story.record.failing_since().is_none());
        assert_eq!(story.record.clean(), Some(0));
    }

    #[test]
    fn what_is_slow_is_in_doubt_for_somebody_in_a_hurry() {
        let mut story = Story::new(1);
        story.fails_for(Source::HastyProbe, 0, SILENT).is(Standing::Degraded);
        story.fails_for(Source::Probe, 0, SILENT).is(Standing::Failed);
        assert_eq!((story.state(Stage::Connect), story.state(Stage::Greeting)), (State::Ok, State::Failed));
        assert_eq!(story.state(Stage::Tls), State::Unknown, "STARTTLS comes after the greeting");
    }

    #[test]
    fn a_refused_login_is_broken_at_once_also_where_it_worked() {
        let mut story = Story::new(1);
        story.taken(0).fails(0, LOGIN).is(Standing::Failed);
        assert_eq!((story.state(Stage::Tls), story.state(Stage::Sender)), (State::Ok, State::Unknown));
    }

    #[test]
    fn what_the_provider_puts_off_is_broken_only_when_nothing_else_happens_for_long() {
        let mut story = Story::new(1);
        story.fails(0, BUSY).is(Standing::Degraded);
        story.after(119).fails(0, BUSY).fails(0, BUSY).is(Standing::Degraded);
        story.after(1).fails(0, BUSY).is(Standing::Failed);
        let mut mixed = Story::new(1);
        for _ in 0..100 {
            mixed.after(10).fails(0, BUSY).is(Standing::Degraded);
            mixed.after(10).taken(0).is(Standing::Ok);
        }
    }

    #[test]
    fn recipients_and_content_break_nothing_and_prove_what_came_before() {
        let content = (Class::Permanent, Step::Final, Reason::ContentRefused);
        for kind in [GREYLISTED, content, (Class::Permanent, Step::Recipient, Reason::RecipientRefused)] {
            let mut story = Story::new(1);
            for _ in 0..20 {
                story.after(60).fails(0, kind).is(Standing::Ok);
            }
            assert_eq!(story.state(Stage::Sender), State::Ok, "{kind:?}");
        }
    }

    #[test]
    fn a_sender_is_one_of_many_once_another_was_taken() {
        Story::new(1).fails(0, SENDER).is(Standing::Failed);
        let mut story = Story::new(1);
        for _ in 0..50 {
            story.after(30).taken(0).after(30).fails(0, SENDER).is(Standing::Degraded);
        }
    }

    #[test]
    fn our_own_limits_and_our_own_end_say_nothing() {
        let mut story = Story::new(1);
        story.fails(0, (Class::Transient, Step::Wait, Reason::NoConnectionFree)).is(Standing::Unknown);
        story.fails(0, (Class::Transient, Step::Final, Reason::ShuttingDown)).is(Standing::Unknown);
    }

    #[test]
    fn a_chain_holds_as_long_as_one_path_does() {
        let mut story = Story::new(2);
        story.fails(0, REFUSED).is(Standing::Degraded);
        story.fails(1, REFUSED).is(Standing::Failed);
        story.taken(1).is(Standing::Degraded);
        assert_eq!((story.record.path(), story.record.clean()), (Some("path 1"), Some(1)));
        story.taken(0).is(Standing::Ok);
    }

    #[test]
    fn of_paths_that_all_fail_the_one_that_came_furthest_is_told() {
        let mut story = Story::new(2);
        story.fails(0, REFUSED).fails(1, CERTIFICATE).is(Standing::Failed);
        assert_eq!((story.state(Stage::Connect), story.state(Stage::Tls)), (State::Ok, State::Failed));
        story.fails(0, REFUSED);
        assert_eq!((story.state(Stage::Connect), story.state(Stage::Tls)), (State::Ok, State::Failed));
    }

    #[test]
    fn what_a_comparison_showed_is_told_until_the_path_works_again() {
        let mut story = Story::new(1);
        story.fails(0, REFUSED);
        let conclusion = Conclusion { cause: &BETTER, evidence: "Compared: x.".to_owned(), is_proof: false };
        story.record.concluded(0, (REFUSED.1, REFUSED.2), &conclusion, story.now);
        let told = |story: &Story| {
            let entry = story.record.entry(Stage::Connect);
            (entry.cause.map(|cause| cause.name), entry.evidence.clone())
        };
        let better = (Some("better"), "It was seen. Compared: x.".to_owned());
        assert_eq!(told(&story), better);
        story.fails(0, REFUSED);
        assert_eq!(told(&story), better, "a further failure says the same");
        story.taken(0).after(60).fails(0, REFUSED);
        assert_eq!(told(&story), (Some("general"), "It was seen.".to_owned()), "it may be another reason now");
    }

    #[test]
    fn a_name_that_did_not_come_in_a_hurry_is_a_doubt_until_a_comparison_proves_it() {
        let mut story = Story::new(2);
        story.fails_for(Source::HastyProbe, 0, UNNAMED).fails_for(Source::HastyProbe, 1, UNNAMED);
        story.is(Standing::Degraded);
        let mut conclusion = Conclusion { cause: &BETTER, evidence: "Compared: x.".to_owned(), is_proof: false };
        story.record.concluded(0, (UNNAMED.1, UNNAMED.2), &conclusion, story.now);
        story.is(Standing::Degraded);
        conclusion.is_proof = true;
        story.record.concluded(0, (UNNAMED.1, UNNAMED.2), &conclusion, story.now);
        story.is(Standing::Failed);
        assert_eq!(story.record.trouble().unwrap().entry.cause(), Some(&BETTER));
    }

    #[test]
    fn what_is_remarked_lasts_while_all_works_and_is_told_where_nothing_worse_is() {
        let mut story = Story::new(1);
        story.taken(0);
        let conclusion = Conclusion { cause: &BETTER, evidence: "Compared: x.".to_owned(), is_proof: false };
        story.record.remarked(Stage::Dns, Some(&conclusion), story.now);
        story.is(Standing::Degraded).after(60).taken(0).is(Standing::Degraded);
        assert!(story.record.is_well(), "nobody has to be woken");
        assert_eq!((story.state(Stage::Dns), story.record.clean()), (State::Ok, Some(0)));
        let told = |story: &Story| {
            let trouble = story.record.trouble().unwrap();
            (trouble.stage, trouble.entry.cause().unwrap().name, trouble.entry.evidence().to_owned())
        };
        assert_eq!(told(&story), (Stage::Dns, "better", "Compared: x.".to_owned()));
        story.fails(0, LOGIN).is(Standing::Failed);
        assert!(!story.record.is_well());
        assert_eq!((told(&story).0, told(&story).1), (Stage::Auth, "general"));
        story.taken(0);
        story.record.remarked(Stage::Dns, None, story.now);
        story.is(Standing::Ok);
        assert!(story.record.trouble().is_none());
    }
}
