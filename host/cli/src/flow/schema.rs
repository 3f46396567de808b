//! The JSON Schema of flow documents, made of the types that read them.

use schemars::Schema;
use schemars::generate::SchemaSettings;

use super::checked::Checked;
use super::document::FlowDocument;

/// The schema, as `docs/flow.schema.json` has it.
pub fn schema() -> Schema {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Checked<FlowDocument>>();
    schema.insert("title".to_owned(), "A flow of Windlass".into());
    schema
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;
    use crate::flow::file;

    fn repository() -> PathBuf {
        let cli = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        cli.ancestors().nth(2).expect("the crate is in the repository").to_owned()
    }

    fn validator() -> jsonschema::Validator {
        jsonschema::draft202012::new(schema().as_value()).expect("a schema")
    }

    #[test]
    fn the_published_schema_is_what_the_types_give() {
        let published = std::fs::read_to_string(repository().join("docs/flow.schema.json"))
            .expect("docs/flow.schema.json is there: windlass flow schema > docs/flow.schema.json");
        let published: Value = serde_json::from_str(&published).expect("it is JSON");
        assert!(
            &published == schema().as_value(),
            "docs/flow.schema.json is out of date: windlass flow schema > docs/flow.schema.json"
        );
    }

    #[test]
    fn every_example_is_valid_for_the_schema_and_for_the_reader() {
        let validator = validator();
        let mut seen = 0;
        for entry in std::fs::read_dir(repository().join("examples/flows")).expect("there are examples") {
            let path = entry.expect("the folder can be read").path();
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path).expect("an example can be read");
            let value: Value = match name.ends_with(".json") {
                true => serde_json::from_str(&text).expect("an example is JSON"),
                false => serde_saphyr::from_str(&text).expect("an example is YAML"),
            };
            if let Err(error) = validator.validate(&value) {
                panic!("{name}: {}: {error}", error.instance_path());
            }
            file::parse(&name, &text).unwrap_or_else(|problem| panic!("{problem}"));
            seen += 1;
        }
        assert!(seen >= 4, "{seen}");
    }

    fn task(more: Value) -> Value {
        let mut task = json!({"name": "a", "plugin": "p", "action": "x"});
        let more = more.as_object().expect("an object").clone();
        task.as_object_mut().expect("an object").extend(more);
        json!({"tasks": [task]})
    }

    fn nested(more: Value) -> Value {
        let mut flow = json!({"tasks": []});
        flow.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"tasks": [{"name": "n", "flow": flow}]})
    }

    fn job(job: Value) -> Value {
        json!({"tasks": [{"name": "j", "job": job}]})
    }

    #[test]
    fn the_schema_takes_what_the_reader_takes() {
        let right = [
            task(json!({"when": "size > 100"})),
            task(json!({"when": {"condition": "x", "skips": "neighbours"}})),
            task(json!({"inputs": {"i": {"output": {"task": "t", "pointer": "/a"}}}, "timeout": "1h30m"})),
            nested(json!({"retry": {"times": 4, "backoff_initial": "1s", "except": ["host.timeout"]}})),
            nested(json!({"retry": {"for_each": {"over": {"argument": "regions"}, "name": "region"}}})),
            nested(json!({"retry": {"always_revert_all": true}})),
            nested(json!({"repeat": {"until": "done", "rounds_max": 10, "backoff_initial": "5s"}})),
            nested(json!({"map": {"over": {"name": "hosts"}, "name": "host", "parallel_max": 4}})),
            json!({"tasks": [], "retry": {"times": 2}, "$schema": "docs/flow.schema.json"}),
            task(json!({"phase": "reserve"})),
            nested(
                json!({"revert": {"plugin": "p", "action": "x", "inputs": {"i": {"name": "t"}}, "timeout": "5m"}}),
            ),
            json!({"tasks": [], "revert": {"plugin": "p", "action": "x", "retry": {"attempts_max": 3}}}),
            job(json!({"flow": "build-image"})),
            job(
                json!({"flow": "build-image@12", "inputs": {"i": {"name": "t"}}, "priority": -5, "timeout": "2h"}),
            ),
            job(
                json!({"flow": {"tasks": [], "defaults": {"a": 1}, "parallel_max": 3, "retry": {"times": 2}}}),
            ),
        ];
        let validator = validator();
        for document in right {
            assert!(validator.is_valid(&document), "{document}");
            file::parse("it.json", &document.to_string()).unwrap_or_else(|problem| panic!("{problem}"));
        }
    }

    #[test]
    fn the_schema_refuses_what_is_wrong() {
        let wrong_for_both = [
            json!({}),
            json!([]),
            json!({"tasks": [], "task": 1}),
            json!({"tasks": [{"name": "a"}]}),
            json!({"tasks": [{"name": "a", "plugin": "p"}]}),
            json!({"tasks": [], "pattern": "circle"}),
            json!({"tasks": [], "retry": {"times": 1}, "map": {"over": {"name": "x"}, "name": "y"}}),
            task(json!({"timeout": "soon"})),
            task(json!({"timeout": 5})),
            task(json!({"priority": "high"})),
            task(json!({"flow": {"tasks": []}})),
            task(json!({"inputs": {"i": {"guess": 1}}})),
            task(json!({"inputs": {"i": {"literal": 1, "name": "x"}}})),
            task(json!({"inputs": {"i": 1}})),
            task(json!({"retry": {"times": 3}})),
            task(json!({"when": 1})),
            task(json!({"when": {"skips": "all"}})),
            task(json!({"when": {"condition": "x", "skips": "everything"}})),
            nested(json!({"defaults": {"a": 1}})),
            nested(json!({"parallel_max": 2})),
            nested(json!({"retry": {}})),
            nested(json!({"retry": {"times": 1, "always_revert": true}})),
            nested(json!({"retry": {"always_revert": false}})),
            nested(json!({"retry": {"for_each": {"name": "x"}}})),
            nested(json!({"retry": {"attempts_max": 3}})),
            nested(json!({"repeat": {"rounds_max": 3}})),
            nested(json!({"repeat": {"until": "x"}})),
            nested(json!({"map": {"name": "x"}})),
            task(json!({"phase": "release"})),
            task(json!({"revert": {"plugin": "p", "action": "x"}})),
            nested(json!({"phase": "reserve"})),
            nested(json!({"revert": {"plugin": "p"}})),
            nested(json!({"revert": {"plugin": "p", "action": "x", "provides": {}}})),
            nested(
                json!({"revert": {"plugin": "p", "action": "x"}, "repeat": {"until": "x", "rounds_max": 3}}),
            ),
        ];
        // The host has the last word on bounds; an editor says it earlier.
        let wrong_for_the_host = [
            task(json!({"name": "no spaces"})),
            task(json!({"name": ""})),
            task(json!({"priority": 1_001})),
            task(json!({"retry": {"attempts_max": 1_001}})),
            task(json!({"retry": {"backoff_multiplier": 0.5}})),
            nested(json!({"retry": {"times": 1_001}})),
            nested(json!({"repeat": {"until": "x", "rounds_max": 0}})),
            nested(json!({"map": {"over": {"name": "x"}, "name": ""}})),
            json!({"tasks": [], "parallel_max": 10_001}),
            job(json!({"flow": "image", "priority": 1_001})),
        ];
        refuse_both(&wrong_for_both);
        let validator = validator();
        for document in &wrong_for_the_host {
            assert!(!validator.is_valid(document), "{document}");
        }
    }

    #[test]
    fn the_schema_refuses_what_is_no_child_job() {
        refuse_both(&[
            job(json!({})),
            job(json!({"flow": ""})),
            job(json!({"flow": "two words"})),
            job(json!({"flow": "image@0"})),
            job(json!({"flow": 3})),
            job(json!({"flow": {"tasks": [{"name": "a"}]}})),
            job(json!({"flow": "image", "retry": {"times": 2}})),
            job(json!({"flow": "image", "inputs": {"i": 1}})),
            task(json!({"job": {"flow": "image"}})),
            json!({"tasks": [{"name": "j", "job": {"flow": "image"}, "inputs": {"i": {"name": "t"}}}]}),
            json!({"tasks": [{"name": "j", "job": {"flow": "image"}, "sleep": {"for": "1h"}}]}),
        ]);
    }

    /// Neither the schema nor the program takes them.
    fn refuse_both(documents: &[serde_json::Value]) {
        let validator = validator();
        for document in documents {
            assert!(!validator.is_valid(document), "{document}");
            assert!(file::parse("it.json", &document.to_string()).is_err(), "{document}");
        }
    }
}
