//! The WIT package is frozen: every version of it is kept in `wit/frozen/`, and the current one only adds to each.

use std::path::{Path, PathBuf};

use contract::Contract;
use growth::violations;

mod contract;
mod growth;

/// The first version that is kept, as it is and will be.
const FIRST: &str = include_str!("../../wit/frozen/1.0.0.wit");

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")
}

fn read(path: &Path) -> Contract {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Contract::read(&path.display().to_string(), &text).unwrap_or_else(|error| panic!("{error}"))
}

/// The first version, with changes, as a later one.
fn changed(changes: &[(&str, &str)]) -> Contract {
    let mut text = FIRST.replace("package windlass:plugin@1.0.0;", "package windlass:plugin@1.1.0;");
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{from:?} is not there once");
        text = text.replace(from, to);
    }
    Contract::read("changed.wit", &text).unwrap_or_else(|error| panic!("{error}\n{changes:?}"))
}

fn first() -> Contract {
    Contract::read("1.0.0.wit", FIRST).expect("it is a package")
}

#[test]
fn the_package_only_adds_to_every_version_of_it_that_is_kept() {
    let current = read(&wit().join("windlass.wit"));
    let mut count = 0;
    for entry in std::fs::read_dir(wit().join("frozen")).expect("versions are kept") {
        let path = entry.expect("they can be listed").path();
        let frozen = read(&path);
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(name, format!("{}.wit", frozen.version), "a file is called as the version in it");
        let found = violations(&frozen, &current);
        assert!(
            found.is_empty(),
            "plugins that were built for {} would not be taken any more, or not as they are:\n{}",
            frozen.version,
            found.join("\n")
        );
        count += 1;
    }
    assert!(count > 0 && wit().join("frozen/1.0.0.wit").is_file(), "the first version is kept for ever");
}

/// Changes, and how what is told of them begins.
type Case = (&'static [(&'static str, &'static str)], &'static str);

fn each_is_refused(cases: &[Case]) {
    for (changes, expected) in cases {
        let found = violations(&first(), &changed(changes));
        assert!(
            found.iter().any(|what| what.starts_with(expected)),
            "{changes:?} is told as {found:#?}, not: {expected}"
        );
    }
}

#[test]
fn a_type_with_more_or_less_or_something_else_or_in_another_order_is_refused() {
    each_is_refused(&[
        (
            &[("    failed(failed),\n", "    failed(failed),\n    lost,\n")],
            "the type types.end has the case lost more",
        ),
        (
            &[(
                "  record payload { media-type: string, bytes: list<u8> }",
                "  record payload { media-type: string, bytes: list<u8>, name: string }",
            )],
            "the type types.payload has the field name more",
        ),
        (
            &[("    store-down,\n", "    store-down,\n    stopping,\n")],
            "the type journal.stop has the case stopping more",
        ),
        (&[("    scope-attempt: u32,\n", "")], "the type types.call has the field scope-attempt no more"),
        (
            &[("    observe-after-ms: option<u64>,\n", "    observe-after-ms: u64,\n")],
            "the type types.accepted has the field observe-after-ms as u64, which was option<u64>",
        ),
        (
            &[(
                "record applied { output: payload, undo: option<payload> }",
                "record applied { undo: option<payload>, output: payload }",
            )],
            "the type types.applied has its fields in another order",
        ),
        (
            &[("enum level { trace, debug, ", "enum level { debug, trace, ")],
            "the type log.level has its cases in another order",
        ),
        (
            &[(
                "enum level { trace, debug, info, warn, error }",
                "flags level { trace, debug, info, warn, error }",
            )],
            "the type log.level is of the kind flags, and was of the kind enum",
        ),
        (
            &[
                ("  record later { fault: fault,", "  record pause { fault: fault,"),
                ("    retry(later),", "    retry(pause),"),
            ],
            "the type types.later is gone",
        ),
        (
            &[("    present(payload),", "    present(option<payload>),")],
            "the type observer.observation has the case present as option<types.payload>, which was types.payload",
        ),
    ]);
}

#[test]
fn a_function_that_is_gone_or_called_otherwise_is_refused() {
    each_is_refused(&[
        (&[("  alive: func() -> result<u64, stop>;\n", "")], "the function journal.alive is gone"),
        (
            &[("func(fraction: f32, message: string)", "func(part: f32, message: string)")],
            "the function journal.progress has the parameter fraction no more",
        ),
        (
            &[("func(level: level, message: string)", "func(message: string, level: level)")],
            "the function log.log has its parameters in another order",
        ),
        (
            &[("-> result<observation, fault>;", "-> result<observation, string>;")],
            "the function observer.observe has its result as result<observer.observation, string>, which was \
             result<observer.observation, types.fault>",
        ),
        (
            &[("failures: func() -> list<task-fault>", "failures: async func() -> list<task-fault>")],
            "the function job.failures is of the kind AsyncFreestanding, and was of the kind function",
        ),
    ]);
}

#[test]
fn what_plugins_export_gets_nothing_more() {
    each_is_refused(&[
        (
            &[("  /// Does it. `input`", "  describe: func() -> string;\n  /// Does it. `input`")],
            "the function executor.describe was added to executor, and plugins export it, and those of before lack that",
        ),
        (
            &[("  variant observation {", "  type share = f32;\n  variant observation {")],
            "the type observer.share was added to observer, and plugins export it",
        ),
    ]);
}

#[test]
fn an_interface_or_world_that_is_gone_or_demands_more_is_refused() {
    each_is_refused(&[
        (
            &[("interface log {", "interface logs {"), ("  import log;", "  import logs;")],
            "the interface log is gone",
        ),
        (&[("  import log;\n", "")], "the world plugin imports log no more"),
        (&[("  export executor;\n", "")], "the world observed-plugin exports executor no more"),
        (&[("world observed-plugin {", "world observing-plugin {")], "the world observed-plugin is gone"),
        (
            &[("  export executor;\n", "  export executor;\n  export observer;\n")],
            "the world plugin demands the export observer",
        ),
        (
            &[
                ("interface log {", "interface validator { validate: func() -> bool; }\ninterface log {"),
                ("  export observer;\n", "  export observer;\n  export validator;\n"),
            ],
            "the world observed-plugin demands the export validator",
        ),
        (&[("windlass:plugin@1.1.0;", "windlass:plugin@2.0.0;")], "the version is 2.0.0"),
        (&[("windlass:plugin@1.1.0;", "windlass:plugin@0.9.0;")], "the version is 0.9.0"),
    ]);
}

/// What a later version may have more.
const ADDITIONS: &[&[(&str, &str)]] = &[
    &[(
        "  /// Milliseconds left until the deadline.\n  alive",
        "  forget: func(name: string) -> result<_, stop>;\n  /// Milliseconds left until the deadline.\n  alive",
    )],
    &[(
        "interface log {\n",
        "interface log {\n  flags where { host, people }\n  say: func(to: where, what: string);\n",
    )],
    &[("  /// A failure as data.", "  record host-name { name: string }\n  /// A failure as data.")],
    &[
        (
            "interface log {",
            "interface secrets { get: func(name: string) -> option<string>; }\ninterface log {",
        ),
        ("  import log;", "  import log;\n  import secrets;"),
    ],
    &[(
        "/// A plugin with observed actions.",
        "interface validator { validate: func() -> bool; }\nworld validating-plugin {\n  include plugin;\n  export validator;\n}\n\
         /// A plugin with observed actions.",
    )],
];

#[test]
fn what_nobody_notices_who_does_not_ask_for_it_may_be_added_in_a_later_version() {
    assert_eq!(violations(&first(), &changed(&[])), Vec::<String>::new());
    let comment = [("/// Undoes it; what is gone already is success.", "/// Undoes it.")];
    for changes in ADDITIONS.iter().copied().chain([&comment[..]]) {
        assert_eq!(violations(&first(), &changed(changes)), Vec::<String>::new(), "{changes:?}");
    }
}

#[test]
fn a_version_that_is_kept_gets_nothing_more_itself() {
    for changes in ADDITIONS {
        let same = [&[("windlass:plugin@1.1.0;", "windlass:plugin@1.0.0;")], *changes].concat();
        let found = violations(&first(), &changed(&same));
        assert!(
            !found.is_empty() && found.iter().all(|what| what.ends_with("raise it")),
            "{changes:?}: {found:#?}"
        );
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let inline = FIRST.replace("  import log;", "  import log;\n  import now: func() -> u64;");
    let error = Contract::read("inline.wit", &inline).expect_err("a world has a function");
    assert!(error.contains("world plugin") || error.contains("world observed-plugin"), "{error}");
    assert!(error.contains("now is no interface"), "{error}");
    let nameless = FIRST.replace("package windlass:plugin@1.0.0;", "package windlass:plugin;");
    assert_eq!(Contract::read("x.wit", &nameless).expect_err("it has none"), "x.wit: it has no version");
    assert!(Contract::read("x.wit", "interface {").is_err());
}
