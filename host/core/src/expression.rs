//! Expressions: what people write in CEL (the Common Expression Language) to decide whether something runs.
//!
//! An expression reads names and nothing else: no clock, no chance. What it gives depends on their values alone, so that
//! it gives the same whenever it is asked again.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::{Context, Program};
use serde_json::{Map, Value};

/// Bytes of an expression: what fits on a screen. Deeper thoughts belong into a task.
pub const EXPRESSION_BYTES_MAX: usize = 2_048;
/// Macros (`all`, `exists`, `map` and so on) within each other: each multiplies what an evaluation costs by the length
/// of a list.
const MACRO_DEPTH_MAX: usize = 2;
/// Brackets within each other, and `? :` in one expression: the parser takes stack for each.
const NESTING_MAX: usize = 16;
/// Stack for the parser and the evaluation, which recurse as deep as an expression of [`EXPRESSION_BYTES_MAX`] can go.
const STACK_BYTES: usize = 32 * 1_024 * 1_024;
/// All names by their text: for those that are no identifiers.
const NAMES: &str = "names";

/// An expression that can be evaluated.
pub struct Expression {
    program: Program,
    names: BTreeSet<String>,
    tested: BTreeSet<String>,
}

/// Why an expression gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("has {0} bytes: at most {EXPRESSION_BYTES_MAX}")]
    TooLong(usize),
    #[error("is no CEL expression: {0}")]
    Syntax(String),
    #[error("reads `names` as a whole: write names[\"a-name\"], so that it is known what it depends on")]
    WholeNames,
    #[error("nests more than {NESTING_MAX} deep: put a part of it into a task")]
    TooNested,
    #[error("has macros {0} deep: at most {MACRO_DEPTH_MAX}; put that into a task")]
    TooDeep(usize),
    #[error("cannot be evaluated: {0}")]
    Evaluation(String),
    #[error("gives {0}, and not true or false")]
    NoVerdict(String),
}

impl Expression {
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        stacker::grow(STACK_BYTES, || Self::parse_here(source))
    }

    fn parse_here(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > EXPRESSION_BYTES_MAX {
            return Err(ExpressionError::TooLong(source.len()));
        }
        if nesting(source) > NESTING_MAX {
            return Err(ExpressionError::TooNested);
        }
        let program = Program::compile(source).map_err(|errors| {
            let errors = errors.errors.iter().map(|error| format!("{}: {}", error.pos.1, error.msg));
            ExpressionError::Syntax(errors.collect::<Vec<_>>().join("; "))
        })?;
        let mut walk = Walk::default();
        walk.expression(program.expression());
        if walk.reads_names_whole {
            return Err(ExpressionError::WholeNames);
        }
        if walk.deepest > MACRO_DEPTH_MAX {
            return Err(ExpressionError::TooDeep(walk.deepest));
        }
        Ok(Self { program, names: walk.names, tested: walk.tested })
    }

    /// The names that it reads.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// It asks with `has(names.x)` whether the name has a value.
    pub fn tests(&self, name: &str) -> bool {
        self.tested.contains(name)
    }

    /// Whether it holds. Names that have no value are left out: `has(names.x)` tells.
    pub fn holds(&self, value: impl Fn(&str) -> Option<Value>) -> Result<bool, ExpressionError> {
        let mut context = Context::default();
        let mut names = Map::new();
        for name in &self.names {
            let Some(value) = value(name) else { continue };
            context.add_variable_from_value(name.as_str(), in_cel(&value));
            names.insert(name.clone(), value);
        }
        context.add_variable_from_value(NAMES, in_cel(&Value::Object(names)));
        match stacker::grow(STACK_BYTES, || self.program.execute(&context)) {
            Ok(cel::Value::Bool(verdict)) => Ok(verdict),
            Ok(other) => Err(ExpressionError::NoVerdict(other.type_of().to_string())),
            Err(error) => Err(ExpressionError::Evaluation(error.to_string())),
        }
    }
}

/// Whole numbers are `int`, so that `n + 1` is possible; only those beyond it are `uint`.
fn in_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (None, Some(number), _) => number.into(),
            (None, None, number) => number.unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => values.iter().map(in_cel).collect::<Vec<_>>().into(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), in_cel(value)));
            members.collect::<std::collections::HashMap<_, _>>().into()
        }
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("names", &self.names).finish()
    }
}

/// How deep brackets are at most, counted in strings as well, and how many conditionals there are.
fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest.max(source.bytes().filter(|byte| *byte == b'?').count())
}

/// The names that a source reads; none where it is no expression, which validation tells.
pub fn names_of(source: &str) -> BTreeSet<String> {
    Expression::parse(source).map(|expression| expression.names).unwrap_or_default()
}

/// What an expression reads that it does not bring itself.
#[derive(Default)]
struct Walk {
    names: BTreeSet<String>,
    tested: BTreeSet<String>,
    /// Variables of the macros around.
    bound: Vec<String>,
    depth: usize,
    deepest: usize,
    reads_names_whole: bool,
}

impl Walk {
    fn expression(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) if self.is_names(name) => {
                    self.named(&select.field);
                    self.tested.extend(select.test.then(|| select.field.clone()));
                }
                _ => self.expression(&select.operand),
            },
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::INDEX, [map, key]) => match (&map.expr, &key.expr) {
                    (Expr::Ident(name), Expr::Literal(LiteralValue::String(key))) if self.is_names(name) => {
                        let key = key.inner().to_owned();
                        self.named(&key);
                    }
                    _ => [map, key].into_iter().for_each(|part| self.expression(part)),
                },
                (_, arguments) => {
                    let target = call.target.as_deref();
                    target.into_iter().chain(arguments).for_each(|part| self.expression(part));
                }
            },
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(made) => made.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key);
                self.expression(&entry.value);
            }
        }
    }

    fn comprehension(&mut self, comprehension: &cel::common::ast::ComprehensionExpr) {
        self.expression(&comprehension.iter_range);
        self.expression(&comprehension.accu_init);
        let outside = self.bound.len();
        self.bound.push(comprehension.iter_var.clone());
        self.bound.extend(comprehension.iter_var2.clone());
        self.bound.push(comprehension.accu_var.clone());
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        self.expression(&comprehension.loop_cond);
        self.expression(&comprehension.loop_step);
        self.depth -= 1;
        self.expression(&comprehension.result);
        self.bound.truncate(outside);
    }

    fn is_names(&self, name: &str) -> bool {
        name == NAMES && !self.bound.iter().any(|bound| bound == NAMES)
    }

    fn name(&mut self, name: &str) {
        if self.is_names(name) {
            self.reads_names_whole = true;
        } else if !self.bound.iter().any(|bound| bound == name) && !TYPES.contains(&name) {
            self.named(name);
        }
    }

    fn named(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }
}

/// Identifiers that CEL itself knows.
const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "uint"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(source: &str, values: Value) -> Result<bool, String> {
        let expression = Expression::parse(source).map_err(|error| error.to_string())?;
        expression.holds(|name| values.get(name).cloned()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_what_an_expression_reads_and_does_not_bring_itself() {
        let source =
            "size > 3 && names['a-b'].c == names.d && hosts.all(h, h.up && h.zone == zone) && has(e.f)";
        assert_eq!(Vec::from_iter(names_of(source)), ["a-b", "d", "e", "hosts", "size", "zone"]);
        assert_eq!(names_of("[1, 2].exists(size, size == 1)"), BTreeSet::new());
        assert_eq!(names_of("type(x) == int"), BTreeSet::from(["x".to_owned()]));
    }

    #[test]
    fn a_verdict_follows_from_the_values_of_names() {
        assert_eq!(holds("size > 3 && name == 'blue'", json!({"size": 4, "name": "blue"})), Ok(true));
        assert_eq!(holds("size > 3", json!({"size": 3})), Ok(false));
        assert_eq!(holds("names['a-b'].ok", json!({"a-b": {"ok": true}})), Ok(true));
        assert_eq!(holds("hosts.exists(h, h == 'b')", json!({"hosts": ["a", "b"]})), Ok(true));
        assert_eq!(holds("has(names.x)", json!({})), Ok(false));
        assert_eq!(holds("has(names.x) && x.y > 1.5", json!({"x": {"y": 2.0}})), Ok(true));
        assert_eq!(holds("n / 2 == 2 && n % 2 == 0 && big > 0", json!({"n": 4, "big": u64::MAX})), Ok(true));
        assert_eq!(holds("n + 1 == 5 && l[0] - 1 == -1", json!({"n": 4, "l": [0]})), Ok(true));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |source: &str, values: Value| holds(source, values).expect_err(source);
        assert!(
            error("size >", json!({})).starts_with("is no CEL expression"),
            "{}",
            error("size >", json!({}))
        );
        assert!(error("size > 1", json!({})).starts_with("cannot be evaluated"));
        assert!(error("a.b", json!({"a": {}})).contains("b"));
        assert_eq!(error("1 + 1", json!({})), "gives int, and not true or false");
        assert!(error("names.size() > 1", json!({})).starts_with("reads `names` as a whole"));
        let deep = "a.all(x, a.all(y, a.all(z, z > 0)))";
        assert!(error(deep, json!({"a": [1]})).starts_with("has macros 3 deep"));
        assert!(error(&"1".repeat(EXPRESSION_BYTES_MAX + 1), json!({})).starts_with("has 2049 bytes"));
        let nested = |depth| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
        assert!(error(&nested(NESTING_MAX + 1), json!({})).starts_with("nests more than 16 deep"));
        assert!(error(&"a ? b : ".repeat(17), json!({})).starts_with("nests more than 16 deep"));
        assert_eq!(holds(&nested(NESTING_MAX), json!({})), Ok(true));
        assert_eq!(holds(&format!("{}true", "!".repeat(1_000)), json!({})), Ok(true));
        assert_eq!(holds(&format!("true{}", " && true".repeat(200)), json!({})), Ok(true));
    }
}
