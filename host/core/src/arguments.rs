//! Arguments: what jobs are given, checked before anything is stored.
//!
//! - `name` says what people may call things.
//! - `schema` compiles an action's JSON Schemas once and lists every problem of a value.
//! - `flow_shape` judges the shape of a flow: bounds, names, order.
//! - `flow_scope` judges what makes flows run again, and conditions.
//! - `flow_wait` judges what waits wait for.
//! - `flow_child` judges child jobs, each as a flow of its own.
//! - `flow_undo` judges own reverts and phases.
//! - `flow_check` validates a flow with its arguments as far as that can be done before anything runs.

mod flow_check;
mod flow_child;
mod flow_scope;
mod flow_shape;
mod flow_undo;
mod flow_wait;
mod name;
mod schema;

pub use flow_check::{
    ATTEMPTS_MAX, CALL_TIMEOUT_MS_MAX, FACTOR_PERCENT_MAX, PAUSE_MS_MAX, effective_arguments, validate_flow,
    validate_planned,
};
pub use flow_scope::{ROUNDS_MAX, TIMES_MAX};
pub use flow_shape::{
    ELEMENTS_MAX, INSTANCES_MAX, NEEDS_MAX, NESTED_MAX, NESTING_MAX, TASK_PRIORITY_MAX, TASKS_MAX,
};
pub use flow_wait::{MESSAGE_BYTES_MAX, PRINCIPALS_MAX};
pub use name::{
    LABELS_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX, check_description, check_labels, check_name, check_text,
};
pub use schema::{ActionSchemas, SCHEMA_BYTES_MAX, Schema, Schemas};

#[cfg(test)]
mod tests;
