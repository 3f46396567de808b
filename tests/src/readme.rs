//! The README's commands: read from its fenced blocks, and what they print compared with what is shown.
//!
//! A block fenced as `sh` is run as a whole. In one fenced as `console`, a line `$ COMMAND` is run, and the lines
//! below it are what it prints: `...` stands for any text in a line, and alone for any number of lines, none included.
//! Runs of spaces count as one. Other blocks are not run.
//!
//! Invariant: every command succeeds, and prints what is shown.

/// A command of the README, with the line that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub line: usize,
    pub text: String,
    /// What the README shows. None: not compared.
    pub shown: Option<Vec<String>>,
}

/// The commands of a document in Markdown, in order. An error names the line that is wrong.
pub fn commands(markdown: &str) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    let mut lines = markdown.lines().zip(1..);
    while let Some((fence, begin)) = lines.next() {
        let Some(language) = fence.strip_prefix("```") else {
            continue;
        };
        let mut block = Vec::new();
        loop {
            match lines.next() {
                Some(("```", _)) => break,
                Some(line) => block.push(line),
                None => return Err(format!("line {begin}: the block is not closed")),
            }
        }
        match language {
            "sh" => {
                let text = block.iter().map(|(text, _)| *text).collect::<Vec<_>>().join("\n");
                commands.push(Command { line: begin, text, shown: None });
            }
            "console" => console(&block, &mut commands)?,
            _ => {}
        }
    }
    Ok(commands)
}

fn console(block: &[(&str, usize)], commands: &mut Vec<Command>) -> Result<(), String> {
    let before = commands.len();
    for (text, line) in block {
        if let Some(command) = text.strip_prefix("$ ") {
            commands.push(Command { line: *line, text: command.to_owned(), shown: Some(Vec::new()) });
            continue;
        }
        let is_first = commands.len() == before;
        match commands.last_mut().and_then(|command| command.shown.as_mut()) {
            Some(shown) if !is_first => shown.push((*text).to_owned()),
            _ => return Err(format!("line {line}: a console block begins with a command, `$ COMMAND`")),
        }
    }
    Ok(())
}

/// Whether the printed lines are what is shown.
pub fn is_shown(shown: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else {
        return printed.is_empty();
    };
    if first.trim() == "..." {
        return (0..=printed.len()).any(|skipped| is_shown(rest, &printed[skipped..]));
    }
    match printed.split_first() {
        Some((line, others)) => is_line_shown(first, line) && is_shown(rest, others),
        None => false,
    }
}

fn is_line_shown(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (spaced_once(shown), spaced_once(printed));
    let parts: Vec<&str> = shown.split("...").collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return shown == printed;
    };
    let Some(mut rest) = printed.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

fn spaced_once(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn commands_are_read_with_their_lines_and_what_they_print() {
        let markdown = "# A\n```text\nmake\n```\n```console\n$ a b\nx\n$ c\n```\n```sh\nd <<E\n1\nE\n```\n";
        let command = |line, text: &str, shown| Command { line, text: text.to_owned(), shown };
        assert_eq!(
            commands(markdown).unwrap(),
            [
                command(6, "a b", Some(lines("x"))),
                command(8, "c", Some(Vec::new())),
                command(10, "d <<E\n1\nE", None),
            ]
        );
        assert!(commands("```console\nx\n```").unwrap_err().starts_with("line 2: "));
        assert!(commands("\n```sh\nx").unwrap_err().starts_with("line 2: "));
    }

    #[test]
    fn dots_stand_for_anything_and_only_for_it() {
        let is = |shown, printed| is_shown(&lines(shown), &lines(printed));
        assert!(is("a", "a") && is("", "") && is("...", "") && is("...", "a\nb"));
        assert!(is("...\nb\n...", "a\nb\nc\nd") && is("a ... z", "a  b  z") && is("a...b...c", "a1b2c"));
        assert!(!is("a", "b") && !is("", "a") && !is("a", "") && !is("a", "a\nb") && !is("a...z", "az y"));
        assert!(!is("a...b...c", "a1c") && !is("...\nb", "b\nc"));
    }

    #[test]
    fn what_overlaps_is_not_counted_twice() {
        assert!(!is_line_shown("ab...bc", "abc"));
        assert!(is_line_shown("ab...bc", "abbc"));
    }
}
