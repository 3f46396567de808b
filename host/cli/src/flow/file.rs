//! Files with flow documents: JSON and YAML, and what is wrong in them with its line and column.
//!
//! Both are read into the same types. YAML is that of 1.2: `no` and `on` are texts, keys stand once, and aliases do
//! not blow a document up.

use serde_saphyr::{Options, RenderOptions, SnippetMode};
use windlass_proto::v1;

use super::checked::Checked;
use super::document::FlowDocument;
use crate::arguments;
use crate::problem::Problem;

/// Nodes of one YAML document: a flow of 10,000 tasks has a fifth of them.
const YAML_NODES_MAX: usize = 1_000_000;
/// Events of one YAML document, those that aliases repeat included.
const YAML_EVENTS_MAX: usize = 2_000_000;

/// Reads a flow from a file, or from standard input for `-`.
pub fn read(file: &str) -> Result<v1::Flow, Problem> {
    Ok(parse(file, &arguments::read(file)?)?.wire())
}

/// The document in `text`, which is what `file` holds.
pub fn parse(file: &str, text: &str) -> Result<FlowDocument, Problem> {
    let parsed = match is_json(file, text) {
        true => json(text),
        false => yaml(text),
    };
    parsed.map_err(|Fault { place, message }| {
        let file = arguments::named(file);
        let told = match place {
            Some((line, column)) => format!("{file} holds no flow: line {line}, column {column}: {message}"),
            None => format!("{file} holds no flow: {message}"),
        };
        Problem::usage(told)
            .advise("`windlass flow schema` prints what a flow may hold, docs/flows.md explains it")
    })
}

/// What is wrong, and where.
struct Fault {
    place: Option<(u64, u64)>,
    message: String,
}

/// By the end of its name; what has none of the known ends, by what it begins with.
fn is_json(file: &str, text: &str) -> bool {
    let ends = |end: &str| file.len() > end.len() && file.to_ascii_lowercase().ends_with(end);
    if ends(".yaml") || ends(".yml") {
        return false;
    }
    ends(".json") || text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('{')
}

fn json(text: &str) -> Result<FlowDocument, Fault> {
    let read: Result<Checked<FlowDocument>, _> = serde_json::from_str(text);
    read.map(|document| document.0).map_err(|error| {
        let (line, column) = (error.line() as u64, error.column() as u64);
        let told = error.to_string();
        let place = format!(" at line {line} column {column}");
        let message = told.strip_suffix(&place).unwrap_or(&told).to_owned();
        Fault { place: (line > 0).then_some((line, column)), message }
    })
}

fn yaml(text: &str) -> Result<FlowDocument, Fault> {
    let budget = serde_saphyr::budget! {
        max_documents: 1,
        max_nodes: YAML_NODES_MAX,
        max_events: YAML_EVENTS_MAX,
    };
    let options: Options = serde_saphyr::options! {
        budget: budget,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        leading_zero_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let read: Result<Checked<FlowDocument>, _> = serde_saphyr::from_str_with_options(text, options);
    read.map(|document| document.0).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        let plain: RenderOptions = serde_saphyr::render_options! { snippets: SnippetMode::Off };
        let told = error.render_with_options(plain);
        let message = match place {
            Some((line, column)) => {
                told.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(&told).to_owned()
            }
            None => told,
        };
        Fault { place, message }
    })
}
