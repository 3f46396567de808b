//! Expected: the exact trace of a job, written short.
//!
//! | written | entries |
//! |---|---|
//! | `a` | `a:applying a:applied` |
//! | `a!` | `a:applying a:apply_failed` |
//! | `-a` | `a:reverting a:reverted` |
//! | `-a!` | `a:reverting a:revert_failed` |
//! | `~a` | `a:skipped` |
//! | `a:in_doubt` | itself |
//! | `{a b \| c}` | what is in each branch, in its order; between the branches any order |
//!
//! With one slot there is one order, the written one: no call begins while another is under way.

use std::iter::Peekable;

/// What may be seen next, and then.
#[derive(Debug, Clone)]
pub enum Expected {
    Entry(String),
    InOrder(Vec<Expected>),
    Beside(Vec<Expected>),
}

impl Expected {
    pub fn parse(written: &str) -> Self {
        let mut words = written.split_whitespace().peekable();
        let parsed = in_order(&mut words);
        assert_eq!(words.next(), None, "a bracket is closed that was not opened: {written}");
        parsed
    }

    /// Says where what was seen is not what was expected. With one slot the order is the written one.
    pub fn check(&self, seen: &[String], slots: usize) -> Result<(), String> {
        if slots == 1 {
            let written = self.written();
            return if written == seen { Ok(()) } else { Err(format!("expected {}", written.join(" "))) };
        }
        let mut left = vec![self.clone()];
        for (index, entry) in seen.iter().enumerate() {
            left = left.iter().flat_map(|expected| expected.after(entry)).collect();
            if left.is_empty() {
                return Err(format!("{entry} is not expected after [{}]", seen[..index].join(" ")));
            }
        }
        match left.iter().find(|left| left.is_over()) {
            Some(_) => Ok(()),
            None => Err(format!("it ends before {}", left[0].written().join(" "))),
        }
    }

    /// The calls that such a trace is made of, in the words of the ledger.
    pub fn calls(&self) -> Self {
        let of = |parts: &[Self]| parts.iter().map(Self::calls).collect();
        match self {
            Self::Entry(entry) => Self::InOrder(call(entry).map(Self::Entry).into_iter().collect()),
            Self::InOrder(parts) => Self::InOrder(of(parts)),
            Self::Beside(branches) => Self::Beside(of(branches)),
        }
    }

    fn written(&self) -> Vec<String> {
        match self {
            Self::Entry(entry) => vec![entry.clone()],
            Self::InOrder(parts) | Self::Beside(parts) => parts.iter().flat_map(Self::written).collect(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Entry(_) => false,
            Self::InOrder(parts) | Self::Beside(parts) => parts.iter().all(Self::is_over),
        }
    }

    /// What is expected once this was seen first: nothing where it may not be the first.
    fn after(&self, seen: &str) -> Vec<Self> {
        match self {
            Self::Entry(entry) if entry == seen => vec![Self::InOrder(Vec::new())],
            Self::Entry(_) => Vec::new(),
            Self::InOrder(parts) => {
                let Some(first) = parts.iter().position(|part| !part.is_over()) else { return Vec::new() };
                let (now, then) = (&parts[first], &parts[first + 1..]);
                let joined =
                    |now: Self| Self::InOrder([now].into_iter().chain(then.iter().cloned()).collect());
                now.after(seen).into_iter().map(joined).collect()
            }
            Self::Beside(branches) => {
                let with = |index: usize, branch: Self| {
                    let mut branches = branches.clone();
                    branches[index] = branch;
                    Self::Beside(branches)
                };
                let chosen = branches.iter().enumerate();
                chosen
                    .flat_map(|(index, branch)| {
                        branch.after(seen).into_iter().map(move |left| with(index, left)).collect::<Vec<_>>()
                    })
                    .collect()
            }
        }
    }
}

fn in_order<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>) -> Expected {
    let mut parts = Vec::new();
    while let Some(word) = words.next_if(|word| !matches!(*word, "|" | "}")) {
        match word {
            "{" => parts.push(beside(words)),
            word => parts.extend(entries(word).into_iter().map(Expected::Entry)),
        }
    }
    Expected::InOrder(parts)
}

fn beside<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>) -> Expected {
    let mut branches = Vec::new();
    loop {
        branches.push(in_order(words));
        match words.next() {
            Some("|") => {}
            Some(_) => return Expected::Beside(branches),
            None => panic!("a bracket is not closed"),
        }
    }
}

fn entries(word: &str) -> Vec<String> {
    if word.contains(':') {
        return vec![word.to_owned()];
    }
    if let Some(skipped) = word.strip_prefix('~') {
        return vec![format!("{skipped}:skipped")];
    }
    let (rest, [begun, done, failed]) = match word.strip_prefix('-') {
        Some(rest) => (rest, ["reverting", "reverted", "revert_failed"]),
        None => (word, ["applying", "applied", "apply_failed"]),
    };
    match rest.strip_suffix('!') {
        Some(task) => vec![format!("{task}:{begun}"), format!("{task}:{failed}")],
        None => vec![format!("{rest}:{begun}"), format!("{rest}:{done}")],
    }
}

/// The call that an entry is the intent of.
fn call(entry: &str) -> Option<String> {
    let (task, kind) = entry.rsplit_once(':')?;
    match kind {
        "applying" => Some(format!("apply {task}")),
        "observing" => Some(format!("observe {task}")),
        "reverting" => Some(format!("revert {task}")),
        _ => None,
    }
}

fn check(written: &str, seen: &str, slots: usize) -> Result<(), String> {
    let seen: Vec<_> = seen.split_whitespace().map(str::to_owned).collect();
    Expected::parse(written).check(&seen, slots)
}

#[test]
fn what_is_beside_each_other_comes_in_any_order_and_keeps_its_own() {
    let written = "a { b c! | ~d } -a!";
    let first = "a:applying a:applied b:applying b:applied c:applying c:apply_failed d:skipped \
                 a:reverting a:revert_failed";
    let other = "a:applying a:applied b:applying d:skipped b:applied c:applying c:apply_failed \
                 a:reverting a:revert_failed";
    assert_eq!(check(written, first, 1), Ok(()));
    assert_eq!(check(written, first, 16), Ok(()));
    assert_eq!(check(written, other, 16), Ok(()));
    check(written, other, 1).expect_err("with one slot the order is the written one");
}

#[test]
fn what_comes_too_early_too_often_or_not_at_all_is_told() {
    let written = "{ a | b } c";
    let whole = "b:applying a:applying a:applied b:applied c:applying c:applied";
    assert_eq!(check(written, whole, 16), Ok(()));
    let early = check(written, "a:applying a:applied c:applying", 16).expect_err("b is missing");
    assert_eq!(early, "c:applying is not expected after [a:applying a:applied]");
    check(written, &format!("{whole} c:applying"), 16).expect_err("c was applied");
    let short = check(written, "a:applying a:applied b:applying b:applied", 16).expect_err("c is missing");
    assert_eq!(short, "it ends before c:applying c:applied");
}

#[test]
fn the_calls_of_a_trace_are_its_intents() {
    let calls = Expected::parse("a:applying a:in_doubt a { ~b | -c! } d:reverted").calls().written();
    assert_eq!(calls, ["apply a", "apply a", "revert c"]);
}
