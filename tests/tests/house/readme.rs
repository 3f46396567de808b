//! The README is true: its commands are run in order, in one shell, against a real host.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use windlass_tests::plugins::target_directory;
use windlass_tests::readme::{self, commands, is_shown};

/// The port that the README shows, in whose place the test takes a free one.
const PORT_SHOWN: &str = "7423";
/// One command compiles a crate with what it depends on.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(15 * 60);
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Printed behind every command, with its exit code. No command prints it.
const MARK: &str = "--8<-- exit code";

/// What the README is read from.
fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate is in the repository").to_owned()
}

/// A clone as the README has it: `windlass`, in a directory with nothing else.
fn clone_into(directory: &Path) {
    let clone = directory.join("windlass");
    fs::create_dir(&clone).expect("the directory is fresh");
    for entry in fs::read_dir(repository()).expect("the repository can be read") {
        let entry = entry.expect("the repository can be read");
        if entry.file_name() != "target" && entry.file_name() != ".git" {
            symlink(entry.path(), clone.join(entry.file_name())).expect("links can be made");
        }
    }
    symlink(target_directory(), clone.join("target")).expect("links can be made");
}

/// The binary that the README's commands find.
fn expect_binary() {
    let binary = target_directory().join("release/windlass");
    assert!(binary.is_file(), "{} is missing: build it with `make build`", binary.display());
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// A shell that runs one command after the other, and a host beside it.
struct Terminals {
    directory: tempfile::TempDir,
    port: String,
    shell: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    host: Option<Child>,
}

impl Terminals {
    fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        clone_into(directory.path());
        let port = free_port().to_string();
        let mut shell = command("sh", directory.path(), &port);
        let mut shell = shell.stdin(Stdio::piped()).spawn().expect("sh is on the PATH");
        let mut input = shell.stdin.take().expect("it is piped");
        let lines = lines_of(shell.stdout.take().expect("it is piped"));
        writeln!(input, "exec 2>&1").expect("the shell reads");
        Self { directory, port, shell, input, lines, host: None }
    }

    /// What a command printed, and its exit code.
    fn run(&mut self, text: &str) -> (Vec<String>, i32) {
        // The mark begins a line even where the command's last line has no end.
        writeln!(self.input, "{text}\nprintf '\\n%s %s\\n' '{MARK}' $?").expect("the shell reads");
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        let mut printed = Vec::new();
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(patience) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("`{text}` has not ended; so far: {printed:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("`{text}` ended the shell: {printed:#?}"),
            };
            if let Some(code) = line.strip_prefix(MARK) {
                // The end of the line that comes before the mark, unless it ended the command's last.
                printed.pop_if(|line: &mut String| line.is_empty());
                return (printed, code.trim().parse().expect("the shell prints a number"));
            }
            printed.push(line);
        }
    }

    /// `windlass serve` has a terminal of its own. The lines that it printed until there are as many as are shown.
    fn serve(&mut self, text: &str, shown: usize) -> Vec<String> {
        let (path, _) = self.run("printf '%s' \"$PATH\"");
        let mut host = command("sh", self.directory.path(), &self.port);
        let log = fs::File::create(self.directory.path().join("host.log")).expect("a file can be made");
        let host =
            host.env("PATH", path.join("\n")).args(["-c", &format!("exec {text}")]).stdin(Stdio::null());
        let mut host = host.stderr(log).spawn().expect("sh is on the PATH");
        let lines = lines_of(host.stdout.take().expect("it is piped"));
        self.host = Some(host);
        let deadline = Instant::now() + READY_TIMEOUT;
        let patience = || deadline.saturating_duration_since(Instant::now());
        (0..shown).map_while(|_| lines.recv_timeout(patience()).ok()).collect()
    }
}

impl Drop for Terminals {
    fn drop(&mut self) {
        for child in [Some(&mut self.shell), self.host.as_mut()].into_iter().flatten() {
            // One that has ended already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program in the directory, which finds the host at the port.
fn command(program: &str, directory: &Path, port: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(directory)
        .env("WINDLASS_LISTEN", format!("127.0.0.1:{port}"))
        .env("WINDLASS_HOST", format!("http://127.0.0.1:{port}"))
        .env("NO_COLOR", "1")
        // What the README's crate depends on is built once, not for every test.
        .env("CARGO_BUILD_BUILD_DIR", target_directory().join("readme"))
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("WINDLASS_DATA_DIR")
        .env_remove("WINDLASS_CONFIG")
        .process_group(0)
        .stdout(Stdio::piped());
    command
}

/// The lines of a stream, as they come.
fn lines_of(stream: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else {
                return;
            };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The whole README: a failure names every command that is wrong.
#[test]
fn every_command_of_the_readme_does_what_it_shows() {
    let text = fs::read_to_string(repository().join("README.md")).expect("the repository has a README");
    expect_binary();
    let mut terminals = Terminals::open();
    let text = text.replace(PORT_SHOWN, &terminals.port);
    let commands = commands(&text).expect("the README is well-formed");
    assert!(commands.len() > 20, "the README has only {} commands", commands.len());
    let mut wrong = Vec::new();
    for command in commands {
        let readme::Command { line, text, shown } = command;
        let (printed, code) = if text.starts_with("windlass serve") {
            (terminals.serve(&text, shown.as_ref().map_or(1, Vec::len)), 0)
        } else {
            terminals.run(&text)
        };
        let is_as_shown = shown.as_ref().is_none_or(|shown| is_shown(shown, &printed));
        if code != 0 || !is_as_shown {
            let shown = shown.unwrap_or_default().join("\n");
            let printed = printed.join("\n");
            wrong.push(format!(
                "line {line}: {text}\nexit code {code}\nshown:\n{shown}\nprinted:\n{printed}\n"
            ));
        }
    }
    let log =
        fs::read_to_string(terminals.directory.path().join("host.log")).unwrap_or_else(|why| why.to_string());
    assert!(
        wrong.is_empty(),
        "README.md is wrong in {} places:\n{}\nhost:\n{log}",
        wrong.len(),
        wrong.join("\n")
    );
}
